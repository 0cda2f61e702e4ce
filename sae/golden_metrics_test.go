package sae

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// runCoreMetrics compares the core metrics of one case.
func (c *goldenCase) runCoreMetrics(t *testing.T) {
	x, y, acts := c.f64(t, "x"), c.f64(t, "x_hat"), c.f64(t, "acts")
	mask, prompt := c.ints(t, "mask"), c.ints(t, "prompt_id")
	n := len(mask)
	d, f := len(x)/n, len(acts)/n
	m, firings := NewMetrics(d, f), NewPromptFirings(f)
	var valid []int
	for r, v := range mask {
		if v != 0 {
			valid = append(valid, r)
		}
	}
	for rows := range slices.Chunk(valid, c.Config.Batch) {
		var bx, by []float64
		var prompts []int64
		lat := Latents{K: f}
		for _, r := range rows {
			bx, by = append(bx, x[r*d:(r+1)*d]...), append(by, y[r*d:(r+1)*d]...)
			prompts = append(prompts, prompt[r])
			for i := range f {
				lat.Index, lat.Value = append(lat.Index, int32(i)), append(lat.Value, float32(acts[r*f+i]))
			}
		}
		if err := m.add(bx, by, lat); err != nil {
			t.Fatal(err)
		}
		if err := firings.Add(lat, prompts); err != nil {
			t.Fatal(err)
		}
	}
	r := m.Result()
	for name, got := range map[string]float64{
		"l0": r.L0, "mse": r.MSE, "mse_mean_over_dims": r.MSEPerDim, "fvu": r.FVU, "explained_variance": r.Explained,
		"l2_ratio": r.L2Ratio, "relative_reconstruction_bias": r.RelBias, "cosine": r.Cosine,
		"dead_count": float64(r.Dead), "alive_fraction": r.AliveShare,
		"fvu_uncentred_legacy": r.UncentredFVU, "explained_variance_legacy": r.ExplainedLegacy,
		"explained_variance_saebench_bug":             m.ExplainedSquaredMean(),
		"mse_saebench_legacy_divided_by_batch_tokens": r.MSELegacy,
	} {
		c.equalNumber(t, name, got)
	}
	near(t, "l1", r.L1, c.number(t, "l1"), 1e-7) // the activations are stored as float32, the sum was taken in float64
	for i, ce := range c.Config.CE {
		clean, spliced, ablated := ce[0], ce[1], ce[2]
		score, err := LossRecovered(clean, spliced, ablated)
		if err != nil {
			t.Fatal(err)
		}
		c.equalNumber(t, fmt.Sprintf("ce_loss_score_%d", i), score)
		c.equalNumber(t, fmt.Sprintf("delta_ce_%d", i), spliced-clean)
		if score, err = KLRecovered(spliced, ablated); err != nil {
			t.Fatal(err)
		}
		c.equalNumber(t, fmt.Sprintf("kl_div_score_%d", i), score)
	}
	logs := make([]float64, f)
	for i, v := range r.Density {
		logs[i] = math.Log10(v + logDensityFloor)
	}
	c.equalVector(t, "feature_density", r.Density)
	c.equalVector(t, "log10_density", logs)
	c.equalVector(t, "consistent_activation", firings.Consistent())

	wDec := c.f64(t, "W_dec")
	g, err := MeasureGeometry(t.Context(), c.f64(t, "W_enc"), wDec, len(wDec)/d)
	if err != nil {
		t.Fatal(err)
	}
	c.equalVector(t, "max_decoder_cosine", g.MaxDecoder)
	c.equalVector(t, "max_encoder_cosine", g.MaxEncoder)
	c.equalVector(t, "enc_dec_cosine", g.EncoderCosine)
}

// runSparseProbing compares selection, fits and scores of one case.
func (c *goldenCase) runSparseProbing(t *testing.T) {
	x, err := SparseOf(c.f64(t, "acts"), c.Tensors["acts"].Shape[1])
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultProbeConfig()
	cfg.K = c.Config.Ks
	r, err := SparseProbe(t.Context(), x, truths(c.ints(t, "labels")), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.equalNumber(t, "n_train", float64(r.Train))
	c.equalNumber(t, "majority_accuracy", r.Majority)
	c.equalVector(t, "mean_diff", r.MeanDifference)
	for i, want := range c.ints(t, "top20") {
		if r.Order[i] != int32(want) {
			t.Errorf("latent %d in order is %d, want %d", i, r.Order[i], want)
		}
	}
	for _, s := range r.Scores {
		prefix := fmt.Sprintf("k%d.", s.K)
		c.equalNumber(t, prefix+"accuracy", s.Accuracy.Value)
		c.equalNumber(t, prefix+"auroc", s.AUC.Value)
		c.equalNumber(t, prefix+"f1", s.F1)
		c.equalNumber(t, prefix+"intercept", s.Intercept)
		c.equalVector(t, prefix+"coef", s.Coef)
	}
}

// runAbsorption compares both definitions row by row.
func (c *goldenCase) runAbsorption(t *testing.T) {
	acts, err := SparseOf(c.f64(t, "acts"), c.Tensors["acts"].Shape[1])
	if err != nil {
		t.Fatal(err)
	}
	probe := c.f64(t, "probe")
	align, err := AlignDecoder(c.f64(t, "W_dec"), probe)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Project(c.f64(t, "x"), probe)
	if err != nil {
		t.Fatal(err)
	}
	var main []int32
	for _, l := range c.ints(t, "main_latents") {
		main = append(main, int32(l))
	}
	r, err := Absorption(acts, align, p, main, DefaultAbsorptionConfig())
	if err != nil {
		t.Fatal(err)
	}
	c.equalVector(t, "fraction", r.Fraction)
	c.equalNumber(t, "mean_fraction", r.MeanFraction)
	c.equalNumber(t, "full_rate", r.FullRate)
	for i, want := range truths(c.ints(t, "full")) {
		if r.Full[i] != want {
			t.Errorf("full[%d] is %v, want %v", i, r.Full[i], want)
		}
	}
}

// runTPPSCR compares the scores of given accuracies.
func (c *goldenCase) runTPPSCR(t *testing.T) {
	s, err := TPP(c.f64(t, "clean_accuracy"), c.f64(t, "ablated_accuracy"))
	if err != nil {
		t.Fatal(err)
	}
	c.equalNumber(t, "tpp", s.TPP)
	c.equalNumber(t, "tpp_intended", s.Intended)
	c.equalNumber(t, "tpp_unintended", s.Unintended)
	for i, v := range c.Config.SCR {
		c.equalNumber(t, fmt.Sprintf("scr_%d", i), SCR(v[0], v[1], v[2]))
	}
}

func truths(v []int64) []bool {
	out := make([]bool, len(v))
	for i, x := range v {
		out[i] = x != 0
	}
	return out
}
