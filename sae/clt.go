package sae

import (
	"fmt"
	"math"
	"slices"
)

// CLT is a trained cross-layer transcoder (Ameisen et al., Circuit Tracing, Transformer Circuits 2025), for inference. The
// latents of layer l read that layer's input x_l and write the outputs of it and of all layers after it:
//
//	a_l = act(x_l W_enc,l^T + b_enc,l)
//	y^_m = sum_{l <= m} a_l W_dec,l->m + b_dec,m + x_m W_skip,m
//
// Latents are numbered layer after layer: latent i of layer l is l * DSAE + i.
type CLT struct {
	DIn, DOut, DSAE int    // widths of a layer's input and output; latents of a layer
	Activation      string // relu, jumprelu or topk
	K               int    // of topk, over all layers
	PerLayer        bool   // topk: k / layers latents in each layer
	Layers          []CLTLayer

	// Metadata says where it belongs: model_name, feature_input_hook, feature_output_hook and whatever else was there.
	Metadata map[string]any
}

// CLTLayer are the weights of one layer of n.
type CLTLayer struct {
	WEnc, BEnc []float32 // [F, d_in], [F]
	WDec       []float32 // [F, n - layer, d_out]
	BDec       []float32 // [d_out]
	Threshold  []float32 // [F], compared with pre-activations: jumprelu; otherwise nil
	WSkip      []float32 // [d_in, d_out], in all layers or in none
}

// Validate checks sizes and settings; the error names the first wrong one.
func (c *CLT) Validate() error {
	if err := c.checkSettings(); err != nil {
		return fmt.Errorf("sae: CLT: %w", err)
	}
	for l := range c.Layers {
		for _, t := range c.tensors(l) {
			want := 1
			for _, n := range t.shape {
				want *= n
			}
			if len(*t.at) != want {
				return fmt.Errorf("sae: CLT: %s has %d values, want shape %v", t.name, len(*t.at), t.shape)
			}
		}
		if (c.Layers[l].WSkip == nil) != (c.Layers[0].WSkip == nil) {
			return fmt.Errorf("sae: CLT: layers 0 and %d do not both have W_skip", l)
		}
	}
	return nil
}

// checkSettings checks everything but the tensors.
func (c *CLT) checkSettings() error {
	n := len(c.Layers)
	wide := max(c.DIn, c.DOut)
	switch {
	case n < 1 || n > 1024 || c.DIn < 1 || c.DOut < 1 || c.DSAE < 1 || wide > math.MaxInt32/n || c.DSAE > math.MaxInt32/(wide*n):
		return fmt.Errorf("layers %d, d_in %d, d_out %d and d_sae %d must be positive, at most 1024 layers, with products below 2^31", n, c.DIn, c.DOut, c.DSAE)
	case !slices.Contains([]string{ActivationReLU, ActivationJumpReLU, ActivationTopK}, c.Activation):
		return fmt.Errorf("activation %q is not supported; supported: relu, jumprelu, topk", c.Activation)
	case c.Activation == ActivationTopK && (c.K < 1 || c.K > n*c.DSAE || c.PerLayer && (c.K%n != 0 || c.K/n > c.DSAE)):
		return fmt.Errorf("k is %d; it must be between 1 and the %d latents, and with per_layer a multiple of the %d layers", c.K, n*c.DSAE, n)
	}
	return nil
}

// tensors lists a layer's tensors under the names of the circuit-tracer format.
func (c *CLT) tensors(layer int) []slot {
	l := &c.Layers[layer]
	name := func(s string) string { return fmt.Sprintf("%s_%d", s, layer) }
	out := []slot{
		{name("W_enc"), []int{c.DSAE, c.DIn}, &l.WEnc}, {name("b_enc"), []int{c.DSAE}, &l.BEnc},
		{name("W_dec"), []int{c.DSAE, len(c.Layers) - layer, c.DOut}, &l.WDec}, {name("b_dec"), []int{c.DOut}, &l.BDec},
	}
	if c.Activation == ActivationJumpReLU {
		out = append(out, slot{name("threshold"), []int{c.DSAE}, &l.Threshold})
	}
	if l.WSkip != nil {
		out = append(out, slot{name("W_skip"), []int{c.DIn, c.DOut}, &l.WSkip})
	}
	return out
}

// Encoder returns what latent i of a layer reads, [d_in]. The caller must not change it.
func (c *CLT) Encoder(layer, i int) []float32 {
	return c.Layers[layer].WEnc[i*c.DIn : (i+1)*c.DIn]
}

// Decoder returns what latent i of a layer writes to layer m >= layer, [d_out]. The caller must not change it.
func (c *CLT) Decoder(layer, i, m int) []float32 {
	at := (i*(len(c.Layers)-layer) + m - layer) * c.DOut
	return c.Layers[layer].WDec[at : at+c.DOut]
}

// Shape implements [Coder].
func (c *CLT) Shape() Shape {
	n := len(c.Layers)
	out := Shape{
		Arch:    map[string]string{ActivationReLU: ArchCLT, ActivationJumpReLU: ArchJumpReLUCLT, ActivationTopK: ArchTopKCLT}[c.Activation],
		InSites: n, OutSites: n, DIn: c.DIn, DOut: c.DOut, Latents: n * c.DSAE, K: c.K, Target: true,
	}
	for l := range c.Layers {
		for _, t := range c.tensors(l) {
			out.Params += len(*t.at)
		}
	}
	return out
}
