// Package autoencoders trains sparse autoencoders of several architectures and seeds on one layer of a model, in one pass
// over its activations, and measures all of them against the same controls.
//
// # Overview
//
// [Run] does these steps; a run that was killed goes on where it stood:
//
//	capture    the site over the corpus, into a store that runs share      [loupe/probe/capture]
//	train      every architecture and seed as one group                    [loupe/sae.Group]
//	controls   the mean, PCA and random autoencoders of equal L0           [loupe/sae.NewPCA], [loupe/sae.RandomControl]
//	evaluate   FVU, L0 and dead latents on held-out rows                   [loupe/sae.NewMetrics], [loupe/sae.TextErrors]
//	splice     every dictionary in the model, on held-out texts            [loupe/sae.Splicer]
//	explain    random latents of the best autoencoder, described and scored [loupe/sae.Features]
//
// In a text encoder the splice compares sentence embeddings, in a language model next-token losses.
//
// # Intervals
//
// A number has two 95 % intervals: over texts, by resampling held-out texts of the mean over seeds, and over seeds, by
// Student's t. Margins over controls are paired text by text. Architectures are ranked by [loupe/sae.Rank], which prints
// what lies inside the noise of the seeds as a tie.
//
// # Shapes
//
// d width of the site, F latents, n texts. Flat slices are row-major.
package autoencoders
