// Package reader reads a text encoder's states in place of a denoiser.
//
// # Overview
//
// Many erasers of text-to-image models train on what the denoiser makes of a text's states. A Reader stands for it: a frozen,
// differentiable function R(h) of the states alone. Methods that are trained with one keep their losses; image figures that were
// published for them cannot be had from it.
//
//   - Identity: the states themselves.
//   - Stack: the outputs of the matrices that read the states, keys and values, from a safetensors file (ReadStack) or drawn.
//   - Attention: heads of cross-attention whose image queries are drawn anew for each step.
//   - Probe: logits of concept probes.
//
// Each is computed twice: as a graph, inside an encoder's objective (Regress), and on the host in float64 (Read, Loss).
//
// # Shapes
//
// b texts, t positions, d width of a state, r rows of a reading (t for readers that read token by token, 1 for pooled ones, m for
// attention), o entries of each, n heads, m queries of a head, w width of a head. States of padding never count.
//
// # Errors
//
// They wrap vectors.ErrShape, vectors.ErrNotFinite or vectors.ErrArgument.
//
// # References
//
//   - Gandikota et al., arXiv:2303.07345 (ESD), whose loss on the denoiser is what readers stand in for.
package reader
