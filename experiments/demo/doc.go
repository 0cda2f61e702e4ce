// Package demo is the demonstration of loupe on real input: it finds named concepts inside a text encoder with a sparse
// autoencoder, takes them out, and measures what changes.
//
// # Overview
//
// Run does six steps, each of which can be called alone:
//
//	capture   residual stream of the middle layer over real text and generated sentences   [loupe/probe/capture]
//	train     a TopK autoencoder on it                                                     [loupe/sae]
//	evaluate  FVU, L0 and dead latents on held-out rows                                    [loupe/sae.Evaluate]
//	splice    the autoencoder in the encoder: MeasureSplice
//	detect    the latents that tell a concept's sentences from their twins: Detect
//	ablate    the encoder without these latents: Ablate
//
// Every number has its control: mean ablation and the untrained autoencoder for the splice; shuffled labels, the untrained
// autoencoder, residual coordinates and a bag of words for the detection; random latents that are as frequent for the
// ablation. Intervals are 95 % bootstrap intervals over texts, where texts that share a pair or a word are drawn together.
//
// # Shapes
//
// n texts, d width of the residual stream, w width of a sentence embedding. Flat slices are row-major.
package demo
