package sae

import (
	"fmt"
	"slices"
	"strings"
)

// weightInfo names one trained tensor and gives its shape. In training the encoder lies as [F, d_in], transposed against
// W_enc, so that a latent's weights lie together. A crosscoder's d_in is that of all sites, one after the other.
type weightInfo struct {
	name  string
	shape []int
}

// layout lists the tensors that cfg trains, in the order of weights.slices.
func layout(cfg Config) []weightInfo {
	if cfg.crossLayer() {
		return cltLayout(cfg)
	}
	if cfg.Arch == ArchTemporal {
		return temporalLayout(cfg)
	}
	f, d, w := cfg.DSAE, cfg.inWidth(), cfg.width()
	enc := weightInfo{"W_enc", []int{f, d}}
	dec, bDec := weightInfo{"W_dec", []int{f, w}}, weightInfo{"b_dec", []int{w}}
	bEnc := weightInfo{"b_enc", []int{f}}
	if cfg.archetypal() {
		return archetypeLayout(cfg)
	}
	var out []weightInfo
	switch cfg.base() {
	case ArchMatchingPursuit:
		return []weightInfo{dec, bDec}
	case ArchGated:
		out = []weightInfo{enc, dec, bDec, {"b_gate", []int{f}}, {"r_mag", []int{f}}, {"b_mag", []int{f}}}
	case ArchJumpReLU:
		out = []weightInfo{enc, dec, bEnc, bDec, {"threshold", []int{f}}}
	default:
		out = []weightInfo{enc, dec, bEnc, bDec}
	}
	if cfg.skips() {
		out = append(out, weightInfo{"W_skip", []int{w, d}})
	}
	return out
}

// cltLayout lists the tensors of a cross-layer transcoder. Encoders and biases of all layers are one tensor; the decoders of
// layer l, which write to the layers from l on, are W_dec.l, so that a latent's row is all that it writes.
func cltLayout(cfg Config) []weightInfo {
	n, f, w := cfg.Layers, cfg.DSAE, cfg.width()/cfg.Layers
	out := []weightInfo{{"W_enc", []int{n, f, cfg.DIn}}, {"b_enc", []int{n * f}}, {"b_dec", []int{n * w}}}
	if cfg.base() == ArchJumpReLU {
		out = append(out, weightInfo{"threshold", []int{n * f}})
	}
	for l := range n {
		out = append(out, weightInfo{cltDecoder(l), []int{f, (n - l) * w}})
	}
	return out
}

// cltDecoder is the name of the decoders of a layer's latents.
func cltDecoder(layer int) string { return fmt.Sprintf("W_dec.%d", layer) }

// isDecoder tells whether a tensor's rows are what latents write.
func isDecoder(name string) bool { return strings.HasPrefix(name, "W_dec") }

// weights are the trained tensors, or one of their Adam moments. Those that an architecture has not are nil.
type weights struct {
	enc, dec   []float32 // [F, d_in], [F, d_out]
	bEnc, bDec []float32 // [F], [d_out]
	more       [][]float32
}

func newWeights(cfg Config) weights {
	var w weights
	for _, info := range layout(cfg) {
		n := 1
		for _, dim := range info.shape {
			n *= dim
		}
		data := make([]float32, n)
		switch info.name {
		case "W_enc":
			w.enc = data
		case "W_dec":
			w.dec = data
		case "b_enc":
			w.bEnc = data
		case "b_dec":
			w.bDec = data
		default:
			w.more = append(w.more, data)
		}
	}
	return w
}

// slices returns the tensors in the order of layout.
func (w weights) slices() [][]float32 {
	var out [][]float32
	for _, s := range [][]float32{w.enc, w.dec, w.bEnc, w.bDec} {
		if s != nil {
			out = append(out, s)
		}
	}
	return append(out, w.more...)
}

// named returns the tensor called name in cfg's layout, nil where there is none.
func (w weights) named(cfg Config, name string) []float32 {
	i := slices.IndexFunc(layout(cfg), func(info weightInfo) bool { return info.name == name })
	if i < 0 {
		return nil
	}
	return w.slices()[i]
}

func (w weights) clone() weights {
	c := weights{enc: slices.Clone(w.enc), dec: slices.Clone(w.dec), bEnc: slices.Clone(w.bEnc), bDec: slices.Clone(w.bDec)}
	for _, s := range w.more {
		c.more = append(c.more, slices.Clone(s))
	}
	return c
}

// zeros returns weights of the same sizes.
func (w weights) zeros() weights {
	z := w.clone()
	for _, s := range z.slices() {
		clear(s)
	}
	return z
}
