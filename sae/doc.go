// Package sae trains, evaluates and exchanges sparse autoencoders.
//
// # Overview
//
// A sparse autoencoder (SAE) writes an activation x as a sparse sum of dictionary rows. With the input scale s of the
// training run folded away,
//
//	pre = (x - b_dec) W_enc + b_enc     f = TopK(relu(pre))     x^ = f W_dec + b_dec
//
// An [SAE] holds the weights in SAELens's layout and is read by [Load] and written by [SAE.Save]. A [Trainer] learns
// one from batches of activations; [Start] makes one, [Trainer.Train] runs it over a [Rows] source with checkpoints, and
// [ReadCheckpoint] goes on from one so that the resumed run has the bytes of an unbroken one. A [Runner] encodes and decodes many rows
// on a backend, [Evaluate] measures, and [Metrics] are the measures themselves.
//
// # Shapes
//
//	B      rows (tokens) of a batch        d  d_in, width of the activation
//	F      d_sae, number of latents        k  latents kept for each row
//	x      [B, d]    f      [B, F], handed around as [Latents]
//	W_enc  [d, F]    W_dec  [F, d]    b_enc [F]    b_dec [d]
//
// Flat slices are row-major.
//
// # Engines
//
// One training step has three implementations with the same numbers up to float32 rounding. "hybrid" computes the
// encoder product on the backend and everything that is sparse in Go; "xla" is one backend program with sparse
// gradients; "dense" is one backend program whose gradients come from automatic differentiation. Given an engine, the
// same seed and data give the same bytes, whatever the number of cores.
//
// # References
//
//   - Gao et al., Scaling and evaluating sparse autoencoders, arXiv:2406.04093 (TopK, AuxK, dead latents in tokens)
//   - openai/sparse_autoencoder, saprmarks/dictionary_learning, SAELens: the code behind the defaults
package sae
