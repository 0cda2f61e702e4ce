// Package adapter holds low-rank adapters of text encoders: added to any number of linear layers at any strength, composed, and
// trained to give texts other states.
//
// # Overview
//
//	a, err := adapter.New(spec, adapter.Config{Layers: []string{"blocks.*"}, Rank: 1, Scale: 1}, seed)
//	fit, err := adapter.NewFitter(e, a, 1e-3)
//	loss, err := fit.Step(ctx, adapter.Batch{Strength: 1, Rows: rows})
//	params, err := adapter.Merge(backend, m.Params, adapter.Part{Adapter: a, Strength: 1})
//
// With rank 1 they are the membranes of SPM (Lyu et al., arXiv:2312.16145), with rank 4 those of concept sliders (Gandikota et al.,
// arXiv:2311.12092). LatentAnchors draws the inputs at which SPM holds an encoder to what it was; Align gives a text the states of a
// twin of another number of tokens.
//
// # Shapes
//
// A weight W is [o, d] and reads x as W x. Its adapter of rank r is up [o, r] and down [r, d], and W + strength scale up down is
// what the encoder runs with.
package adapter
