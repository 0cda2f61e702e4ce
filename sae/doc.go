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
// # Architectures
//
// [Architectures] lists what an [SAE] can be for inference; the table and the parts are in arch.go and arch_<name>.go, and
// the reference implementation on the host is [SAE.Encode], [SAE.Decode] and [SAE.Reconstruct] ([SAE.Sequence] for a
// temporal SAE). What can be trained is the enumeration of [Config.Arch]; the losses are in loss_<name>.go. batchtopk and
// matryoshka_batchtopk exist in training only and are saved as jumprelu. A transcoder trains on rows that hold the input
// and, after it, the target.
//
// # Engines
//
// One training step has three implementations with the same numbers up to
// float32 rounding. "dense" is one backend program whose gradients come from
// automatic differentiation, for every architecture. "hybrid" (topk, batchtopk,
// matryoshka) computes the encoder product on the backend and everything that is
// sparse in Go; "xla" (topk) is one backend program with sparse gradients. Given an engine, the same seed and data give the
// same bytes, whatever the number of cores.
//
// # References
//
//   - Gao et al., Scaling and evaluating sparse autoencoders, arXiv:2406.04093 (TopK, AuxK, dead latents in tokens)
//   - openai/sparse_autoencoder, saprmarks/dictionary_learning, SAELens: the code behind the defaults
package sae
