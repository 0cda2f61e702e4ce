package sae

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// runVariants compares the losses of the field that loupe trains with, value and gradients, and its helpers.
func (c *goldenCase) runVariants(t *testing.T) {
	d, f := c.Tensors["x"].Shape[1], c.Tensors["W_dec"].Shape[0]
	median := c.f64(t, "geometric_median")
	for j, got := range geometricMedian(c.f64(t, "x"), d) {
		if want := median[j]; math.Abs(got-want) > 1e-6 {
			t.Errorf("geometric_median[%d] is %v, want %v", j, got, want)
		}
	}
	base := Config{
		Arch: ArchTopK, DIn: d, DSAE: f, K: int(c.Config.K), Batch: c.Tensors["x"].Shape[0], Loss: LossMSE, Decoder: DecoderFree,
		AuxK: d / 2, AdamEps: 1, LpNorm: 1, // with both betas 0 the first moment is the gradient
		TargetL0: c.Config.TargetL0,
	}
	w := c.weightsOf(t, "", base)
	raw := c.f32(t, "grad_raw")
	for i := range f {
		g, row := raw[i*d:(i+1)*d], w.dec[i*d:(i+1)*d]
		axpy(-dot(g, row), row, g)
	}
	nearly(t, "grad_minus_parallel", raw, c.f32(t, "grad_minus_parallel"), 1e-5, 1e-6)

	for _, engine := range engines(t) {
		for _, v := range []struct{ loss, main, aux string }{
			{LossMSE, "mse_topk", "auxk_saelens"},
			{LossFVU, "fvu_sparsify", "auxk_dictionary_learning"},
		} {
			cfg := base
			cfg.Loss = v.loss
			out, main := c.gradients(t, engine, cfg, w, 0)
			near(t, v.main, out.loss, c.number(t, v.main), 1e-5)
			c.compareGradients(t, engine+" "+v.main, cfg, main, v.main+".grad.", 4e-6)
			cfg.AuxCoef = 1
			both, aux := c.gradients(t, engine, cfg, w, 0)
			near(t, v.aux, both.aux, c.number(t, v.aux), 1e-5)
			for n, g := range aux.slices() {
				axpy(-1, main.slices()[n], g)
			}
			// A difference of two float32 gradients of the size of the whole loss's: their rounding adds up.
			c.compareGradients(t, engine+" "+v.aux, cfg, aux, v.aux+".grad.", 1e-5)
		}
	}
	if graphtest.IsGo(t) {
		return // the dense programs below need TopK, which does not finish there
	}
	c.matryoshkaVariant(t, base, w)
	c.gatedVariants(t, base, w)
	c.jumpReLUVariant(t, base, w)
}

// gradients returns one step's report and the gradients of its loss.
func (c *goldenCase) gradients(t *testing.T, engine string, cfg Config, w weights, coef float64) (stepOutput, weights) {
	t.Helper()
	e, err := newEngine(graphtest.Backend(t), engine, cfg, newParams(w.clone()))
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	out, err := e.step(stepInput{x: c.f32(t, "x"), t: 1, dead: c.deadLatents(t), coef: coef})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return out, p.m.clone()
}

func (c *goldenCase) compareGradients(t *testing.T, name string, cfg Config, got weights, prefix string, atol float64) {
	t.Helper()
	want := c.weightsOf(t, prefix, cfg)
	for n, info := range layout(cfg) {
		nearly(t, name+" "+info.name, got.slices()[n], want.slices()[n], 1e-4, atol)
	}
}

// matryoshkaVariant compares the sum of the prefixes' errors, selected row by row.
func (c *goldenCase) matryoshkaVariant(t *testing.T, base Config, w weights) {
	cfg := base
	cfg.Arch, cfg.Matryoshka.Widths = ArchMatryoshka, c.Config.Widths
	cfg.Matryoshka.PerRow = true
	var out stepOutput
	for _, engine := range enginesFor(t, cfg) {
		var g weights
		out, g = c.gradients(t, engine, cfg, w, 0)
		near(t, engine+" matryoshka_sum", out.loss, c.number(t, "matryoshka_sum"), 1e-5)
		c.compareGradients(t, engine+" matryoshka_sum", cfg, g, "matryoshka_sum.grad.", 1e-5) // sums of four float32 gradients
	}
	var sum float64
	for _, width := range c.Config.Widths {
		sum += c.number(t, fmt.Sprintf("matryoshka_prefix_mse_%d", width))
	}
	near(t, "sum of matryoshka_prefix_mse", out.loss, sum, 1e-5)
}

// gatedVariants compares the gate's reconstruction loss, with and without gradients into the decoder: r_mag and b_mag
// make the magnitude path silent, so that the main loss is that of b_dec alone and can be taken off.
func (c *goldenCase) gatedVariants(t *testing.T, base Config, w weights) {
	for name, free := range map[string]bool{"gated_aux_saelens": true, "gated_aux_paper_frozen_decoder": false} {
		cfg := base
		cfg.Arch, cfg.GatedFreeDecoder = ArchGated, free
		gated := newWeights(cfg)
		copy(gated.enc, w.enc)
		copy(gated.dec, w.dec)
		copy(gated.bDec, w.bDec)
		copy(gated.named(cfg, "b_gate"), w.bEnc)
		for i := range cfg.DSAE {
			gated.named(cfg, "b_mag")[i] = -1e6
		}
		out, g := c.gradients(t, EngineDense, cfg, gated, 0)
		near(t, name, out.aux, c.number(t, name), 1e-5)
		for tensor, got := range map[string][]float32{"W_dec": g.dec, "b_enc": g.named(cfg, "b_gate")} {
			nearly(t, name+" "+tensor, got, c.f32(t, name+".grad."+tensor), 1e-4, 1e-5)
		}
		enc := make([]float32, len(w.enc))
		transpose(enc, c.f32(t, name+".grad.W_enc"), cfg.DIn, cfg.DSAE)
		nearly(t, name+" W_enc", g.enc, enc, 1e-4, 1e-5)
		// b_dec carries the main loss's gradient, 2 mean(b_dec - x), besides.
		bias := slices.Clone(g.bDec)
		x := c.f32(t, "x")
		for i, v := range x {
			bias[i%cfg.DIn] -= float32(2 * (float64(w.bDec[i%cfg.DIn]) - float64(v)) / float64(cfg.Batch))
		}
		nearly(t, name+" b_dec", bias, c.f32(t, name+".grad.b_dec"), 1e-4, 1e-5)
	}
}

// jumpReLUVariant compares the target-L0 loss with the step taken of the pre-activation.
func (c *goldenCase) jumpReLUVariant(t *testing.T, base Config, w weights) {
	cfg := base
	cfg.Arch = ArchJumpReLU
	cfg.JumpReLU = JumpReLUConfig{Bandwidth: c.Config.Bandwidth, Sparsity: SparsityTarget}
	jump := newWeights(cfg)
	copy(jump.enc, w.enc)
	copy(jump.dec, w.dec)
	copy(jump.bEnc, w.bEnc)
	copy(jump.bDec, w.bDec)
	copy(jump.named(cfg, "threshold"), c.f32(t, "threshold"))
	const tag = "jumprelu_l0_target"
	out, g := c.gradients(t, EngineDense, cfg, jump, c.Config.L0Coef)
	near(t, tag, out.loss, c.number(t, tag), 1e-5)
	near(t, tag+".l0", out.l0, c.number(t, tag+".l0"), 1e-12)
	c.compareGradients(t, tag, cfg, g, tag+".grad.", 1e-5)
	// The bug of taking the step of f has the same value and another gradient of the thresholds.
	legacy := c.f32(t, tag+"_dl_legacy.grad.threshold")
	if slices.Equal(legacy, c.f32(t, tag+".grad.threshold")) {
		t.Error("the legacy gradient equals the right one: the case cannot tell them apart")
	}
}
