// Package model runs language models and text encoders in GoMLX with named sites.
//
// # Overview
//
// A Spec describes an architecture, an Engine compiles a (Spec, Plan) pair once, and the resulting Program runs any
// weights of that Spec. What varies between runs — tokens, weights, edits and their layers, heads, positions,
// directions and strengths — is a run-time tensor, never a recompile.
//
// # Shapes
//
// b batch rows, t query positions, s key positions, h query heads, k key/value heads, g query heads per key/value
// head (h = k*g), e head width, d residual width (d_model), f MLP width, v vocabulary, p gathered positions, l layers.
//
// # Sites
//
// A Site is a place in the forward pass under its TransformerLens name (docs/sites.md). Weights are used as
// published: nothing is folded or centred.
package model
