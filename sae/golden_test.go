package sae

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// goldenCase is a case of golden/sae: NAME.json with NAME.safetensors.
type goldenCase struct {
	Kind   string
	Config struct {
		Architecture string
		Arch         string
		SAEDir       string  `json:"sae_dir"`
		Training     string  `json:"training_architecture"`
		What         string  // the fold of a fold_* case
		Scale        float64 `json:"scaling_factor"`
		Rescale      *bool   `json:"rescale_acts_by_decoder_norm"` // of an export
		Batch        int
		Masked       bool
		CE           [][3]float64
		SAEConfig    struct {
			DIn     int `json:"d_in"`
			DSAE    int `json:"d_sae"`
			K       float64
			Rescale *bool    `json:"rescale_acts_by_decoder_norm"`
			AuxCoef *float64 `json:"aux_loss_coefficient"`
		} `json:"sae_config"`
		Adam struct {
			LR, Beta1, Beta2, Eps float64
		}
		ClipNorm  *float64           `json:"clip_norm"`
		NoiseGrad map[string]float64 `json:"float32_noise_grad"`
		Noise3    map[string]float64 `json:"float32_noise_after3"`
		K         float64
		NDead     int `json:"n_dead"`
	}
	Scalars   map[string]json.RawMessage
	Tensors   map[string]struct{ Shape []int }
	Tolerance struct{ RTol, ATol float64 }

	path string
	file *safetensors.File
	seen map[string]bool
}

// unchecked lists expected values that no test compares, with the reason: "kind/name" or "kind/*".
var unchecked = map[string]string{
	"core_metrics/consistent_activation":           "not a metric of loupe yet: share of firings over prompts",
	"core_metrics/max_decoder_cosine":              "geometry: not a metric of loupe yet",
	"core_metrics/max_encoder_cosine":              "geometry: not a metric of loupe yet",
	"core_metrics/enc_dec_cosine":                  "geometry: not a metric of loupe yet",
	"core_metrics/W_dec":                           "input of the geometry metrics",
	"core_metrics/W_enc":                           "input of the geometry metrics",
	"core_metrics/prompt_id":                       "input of consistent_activation",
	"core_metrics/ce_loss_score":                   "needs a spliced model; not a metric of loupe yet",
	"core_metrics/delta_ce":                        "needs a spliced model; not a metric of loupe yet",
	"core_metrics/kl_div_score":                    "needs a spliced model; not a metric of loupe yet",
	"core_metrics/explained_variance_saebench_bug": "a bug's value; loupe prints the right one and the published legacy one",
	"loss_variants/matryoshka":                     "another architecture",
	"loss_variants/gated_aux":                      "another architecture",
	"loss_variants/jumprelu":                       "another architecture",
	"loss_variants/threshold":                      "input of the JumpReLU variants",
	"loss_variants/auxk_saelens_legacy_bdec":       "a bug that loupe does not offer: b_dec counted twice",
	"loss_variants/auxk_sparsify":                  "a loss that loupe does not offer: AuxK over the variance of x",
	"loss_variants/auxk_openai":                    "a loss that loupe does not offer: AuxK with b_dec on both sides",
	"loss_variants/fvu_multi_topk":                 "a loss that loupe does not offer: a second reconstruction with 4k",
	"loss_variants/nmse_openai":                    "a loss that loupe does not offer: per-row normalisation",
}

// supported tells whether a case is about what this package has: TopK and the core metrics. The test of all kinds
// comes with the other architectures.
func (c *goldenCase) supported() bool {
	switch c.Kind {
	case "sae_dir":
		return true
	case "sae_training":
		return c.Config.Arch == ArchTopK
	}
	return c.Kind == "core_metrics" || c.Kind == "loss_variants"
}

func TestGoldenSAE(t *testing.T) {
	root := filepath.Join(graphtest.Golden(t), "sae")
	if _, err := os.Stat(root); err != nil {
		graphtest.Skip(t, "no golden data: %v", err)
	}
	ran := map[string]int{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" || strings.HasSuffix(path, "config.json") || d.Name() == configFile {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c := &goldenCase{path: strings.TrimSuffix(path, ".json"), seen: map[string]bool{}}
		if err := json.Unmarshal(raw, c); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !c.supported() {
			return nil
		}
		ran[c.Kind]++
		rel, err := filepath.Rel(root, c.path)
		if err != nil {
			return err
		}
		t.Run(filepath.ToSlash(rel), func(t *testing.T) { c.run(t) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"sae_dir", "sae_training", "core_metrics", "loss_variants"} {
		if ran[kind] == 0 {
			graphtest.Skip(t, "the golden data has no %s case of TopK", kind)
		}
	}
}

func (c *goldenCase) run(t *testing.T) {
	f, err := safetensors.Open(c.path + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c.file = f
	switch c.Kind {
	case "sae_dir":
		c.runDir(t)
	case "sae_training":
		c.runTraining(t)
	case "core_metrics":
		c.runMetrics(t)
	case "loss_variants":
		c.runVariants(t)
	}
	c.checkAllSeen(t)
}

// checkAllSeen fails for every expected value that was neither compared nor listed in unchecked.
func (c *goldenCase) checkAllSeen(t *testing.T) {
	listed := func(name string) bool {
		for key := range unchecked {
			kind, prefix, _ := strings.Cut(key, "/")
			if kind == c.Kind && strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return false
	}
	total, compared := 0, 0
	check := func(name string) {
		total++
		if c.seen[name] {
			compared++
		} else if !listed(name) {
			t.Errorf("%s was neither compared nor listed in unchecked", name)
		}
	}
	for name := range c.Tensors {
		check(name)
	}
	for name, raw := range c.Scalars {
		if string(raw) != "null" {
			check(name)
		}
	}
	t.Logf("compared %d of %d expected values", compared, total)
}

func (c *goldenCase) f32(t *testing.T, name string) []float32 {
	t.Helper()
	c.seen[name] = true
	v, err := c.file.Float32(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c *goldenCase) f64(t *testing.T, name string) []float64 {
	t.Helper()
	c.seen[name] = true
	v, err := c.file.Float64(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c *goldenCase) scalar(t *testing.T, name string, into any) {
	t.Helper()
	c.seen[name] = true
	if err := json.Unmarshal(c.Scalars[name], into); err != nil {
		t.Fatalf("scalar %s: %v", name, err)
	}
}

func (c *goldenCase) number(t *testing.T, name string) float64 {
	t.Helper()
	var v float64
	c.scalar(t, name, &v)
	return v
}

// dense writes latents out as [n, F].
func denseLatents(l Latents, f int) []float32 {
	out := make([]float32, l.Rows()*f)
	for r := range l.Rows() {
		index, value := l.Row(r)
		for j, i := range index {
			if value[j] != 0 {
				out[r*f+int(i)] = value[j]
			}
		}
	}
	return out
}

// weightsOf reads W_enc (transposed to [F, d]), W_dec, b_enc and b_dec with a prefix.
func (c *goldenCase) weightsOf(t *testing.T, prefix string, d, f int) weights {
	w := newWeights(d, f)
	transpose(w.enc, c.f32(t, prefix+"W_enc"), d, f)
	copy(w.dec, c.f32(t, prefix+"W_dec"))
	copy(w.bEnc, c.f32(t, prefix+"b_enc"))
	copy(w.bDec, c.f32(t, prefix+"b_dec"))
	return w
}

func (c *goldenCase) deadLatents(t *testing.T) []int32 {
	var dead []int32
	c.seen["dead_mask"] = true
	mask, err := c.file.Int64("dead_mask")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range mask {
		if v != 0 {
			dead = append(dead, int32(i))
		}
	}
	return dead
}

// runTraining performs three Adam steps of a SAELens training SAE in every engine.
func (c *goldenCase) runTraining(t *testing.T) {
	sc := c.Config.SAEConfig
	cfg := Config{
		Arch: ArchTopK, DIn: sc.DIn, DSAE: sc.DSAE, K: int(sc.K), Batch: c.Config.Batch, Loss: LossMSE, Decoder: DecoderFree,
		RescaleByDecoder: sc.Rescale == nil || *sc.Rescale, AuxCoef: 1, AuxK: sc.DIn / 2,
		Beta1: c.Config.Adam.Beta1, Beta2: c.Config.Adam.Beta2, AdamEps: c.Config.Adam.Eps,
	}
	if sc.AuxCoef != nil {
		cfg.AuxCoef = *sc.AuxCoef
	}
	if c.Config.ClipNorm != nil {
		cfg.Clip = *c.Config.ClipNorm
	}
	var losses []map[string]float64
	var norms []float64
	c.scalar(t, "losses_per_step", &losses)
	c.scalar(t, "grad_norm_before_clip_per_step", &norms)
	x, dead := c.f32(t, "x"), c.deadLatents(t)
	start, after := c.weightsOf(t, "param.", cfg.DIn, cfg.DSAE), c.weightsOf(t, "after3.", cfg.DIn, cfg.DSAE)
	grad := c.weightsOf(t, "grad.", cfg.DIn, cfg.DSAE)
	for _, name := range engines(t) {
		e, err := newEngine(graphtest.Backend(t), name, cfg, newParams(start))
		if err != nil {
			t.Fatal(err)
		}
		defer e.close()
		for s := range norms {
			out, err := e.step(stepInput{x: x[s*cfg.Batch*cfg.DIn : (s+1)*cfg.Batch*cfg.DIn], rate: c.Config.Adam.LR, t: int64(s + 1), dead: dead})
			if err != nil {
				t.Fatal(err)
			}
			near(t, name+" loss", out.loss, losses[s]["loss"], 1e-5)
			near(t, name+" mse_loss", out.mse, losses[s]["mse_loss"], 1e-5)
			near(t, name+" auxiliary_reconstruction_loss", out.aux, losses[s]["auxiliary_reconstruction_loss"], 1e-5)
			near(t, name+" gradient norm", out.gradNorm, norms[s], 1e-4)
			if s > 0 {
				continue
			}
			p, err := e.snapshot()
			if err != nil {
				t.Fatal(err)
			}
			for n, m := range p.m.slices() { // after one step the first moment is (1 - beta1) times the gradient
				g := slices.Clone(m)
				scaleBy(g, float32(1/((1-cfg.Beta1)*clipScale(cfg.Clip, out.gradNorm))))
				nearly(t, name+" grad."+weightNames[n], g, grad.slices()[n], 1e-4, 4e-6) // the case's 2e-6 plus the rounding of the detour
			}
		}
		p, err := e.snapshot()
		if err != nil {
			t.Fatal(err)
		}
		for n, w := range p.w.slices() {
			nearly(t, name+" after3."+weightNames[n], w, after.slices()[n], 0, max(1e-5, 3*c.Config.Noise3[weightNames[n]]))
		}
	}
	s := &SAE{
		Arch: ArchTopK, DIn: cfg.DIn, DSAE: cfg.DSAE, K: cfg.K, ApplyBDecToInput: true, Normalize: NormalizeNone,
		RescaleByDecoder: cfg.RescaleByDecoder, WEnc: c.f32(t, "param.W_enc"), WDec: start.dec, BEnc: start.bEnc, BDec: start.bDec,
	}
	run, err := NewRunner(graphtest.Backend(t), s, cfg.Batch)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	lat, out, err := run.Reconstruct(t.Context(), x[:cfg.Batch*cfg.DIn])
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "feature_acts", denseLatents(lat, cfg.DSAE), c.f32(t, "feature_acts"), 2e-5, 2e-5)
	nearly(t, "sae_out", out, c.f32(t, "sae_out"), 2e-5, 2e-5)
}

func (c *goldenCase) runMetrics(t *testing.T) {
	acts, x, y := c.f32(t, "acts"), c.f64(t, "x"), c.f64(t, "x_hat")
	c.seen["mask"] = true
	mask, err := c.file.Int64("mask")
	if err != nil {
		t.Fatal(err)
	}
	n := len(mask)
	d, f := len(x)/n, len(acts)/n
	m := NewMetrics(d, f)
	var valid []int
	for r, v := range mask {
		if v != 0 {
			valid = append(valid, r)
		}
	}
	for rows := range slices.Chunk(valid, c.Config.Batch) {
		var bx, by []float64
		lat := Latents{K: f}
		for _, r := range rows {
			bx, by = append(bx, x[r*d:(r+1)*d]...), append(by, y[r*d:(r+1)*d]...)
			for i := range f {
				lat.Index = append(lat.Index, int32(i))
			}
			lat.Value = append(lat.Value, acts[r*f:(r+1)*f]...)
		}
		if err := m.add(bx, by, lat); err != nil {
			t.Fatal(err)
		}
	}
	r := m.Result()
	for name, got := range map[string]float64{
		"l0": r.L0, "mse": r.MSE, "mse_mean_over_dims": r.MSEPerDim, "fvu": r.FVU, "explained_variance": r.Explained,
		"l2_ratio": r.L2Ratio, "relative_reconstruction_bias": r.RelBias, "cosine": r.Cosine,
		"dead_count": float64(r.Dead), "alive_fraction": r.AliveShare,
		"fvu_uncentred_legacy": r.UncentredFVU, "explained_variance_legacy": r.ExplainedLegacy,
		"mse_saebench_legacy_divided_by_batch_tokens": r.MSELegacy,
	} {
		near(t, name, got, c.number(t, name), c.Tolerance.RTol)
	}
	near(t, "l1", r.L1, c.number(t, "l1"), 1e-7) // the activations are stored as float32, the sum was taken in float64
	logs := make([]float64, f)
	for i, v := range r.Density {
		logs[i] = math.Log10(v + logDensityFloor)
	}
	for name, got := range map[string][]float64{"feature_density": r.Density, "log10_density": logs} {
		for i, want := range c.f64(t, name) {
			if math.Abs(got[i]-want) > c.Tolerance.ATol+c.Tolerance.RTol*math.Abs(want) {
				t.Errorf("%s[%d] is %v, want %v", name, i, got[i], want)
			}
		}
	}
}

// runVariants compares the losses that loupe trains with, through the hybrid engine's gradients, and its helpers.
func (c *goldenCase) runVariants(t *testing.T) {
	x := c.f64(t, "x")
	x32 := c.f32(t, "x")
	d := c.Tensors["x"].Shape[1]
	for j, got := range geometricMedian(x, d) {
		if want := c.f64(t, "geometric_median")[j]; math.Abs(got-want) > 1e-6 {
			t.Errorf("geometric_median[%d] is %v, want %v", j, got, want)
		}
	}
	w := c.weightsOf(t, "", d, c.Tensors["W_dec"].Shape[0])
	dead := c.deadLatents(t)
	raw := c.f32(t, "grad_raw")
	for i := range len(w.bEnc) {
		g, row := raw[i*d:(i+1)*d], w.dec[i*d:(i+1)*d]
		axpy(-dot(g, row), row, g)
	}
	nearly(t, "grad_minus_parallel", raw, c.f32(t, "grad_minus_parallel"), 1e-5, 1e-6)

	gradients := func(loss string, coef float64) (stepOutput, weights) {
		cfg := Config{
			Arch: ArchTopK, DIn: d, DSAE: len(w.bEnc), K: int(c.Config.K), Batch: c.Tensors["x"].Shape[0], Loss: loss, Decoder: DecoderFree,
			AuxCoef: coef, AuxK: d / 2, AdamEps: 1, // with both betas 0 the first moment is the gradient
		}
		h, err := newHybrid(graphtest.Backend(t), cfg, newParams(w))
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		out, err := h.step(stepInput{x: x32, t: 1, dead: dead})
		if err != nil {
			t.Fatal(err)
		}
		return out, h.p.m
	}
	for _, loss := range []struct{ kind, main, aux string }{
		{LossMSE, "mse_topk", "auxk_saelens"},
		{LossFVU, "fvu_sparsify", "auxk_dictionary_learning"},
	} {
		out, main := gradients(loss.kind, 0)
		near(t, loss.main, out.loss, c.number(t, loss.main), 1e-5)
		both, total := gradients(loss.kind, 1)
		near(t, loss.aux, both.aux, c.number(t, loss.aux), 1e-5)
		wantMain, wantAux := c.weightsOf(t, loss.main+".grad.", d, len(w.bEnc)), c.weightsOf(t, loss.aux+".grad.", d, len(w.bEnc))
		for n := range 4 {
			nearly(t, loss.main+" "+weightNames[n], main.slices()[n], wantMain.slices()[n], 1e-4, 4e-6)
			aux := slices.Clone(total.slices()[n])
			axpy(-1, main.slices()[n], aux)
			nearly(t, loss.aux+" "+weightNames[n], aux, wantAux.slices()[n], 1e-4, 1e-5) // a difference of two gradients
		}
	}
}
