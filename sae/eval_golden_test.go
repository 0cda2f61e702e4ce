package sae

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// metricCase is a case of golden/sae/metrics: path.json with path.safetensors. Every value must be read.
type metricCase struct {
	Kind   string
	Config struct {
		Batch   int
		CE      [][3]float64
		SCR     [][3]float64
		Ks      []int
		Classes int
	}
	Scalars   map[string]float64
	Tensors   map[string]struct{ Shape []int }
	Tolerance struct{ RTol, ATol float64 }

	file *safetensors.File
	seen map[string]bool
}

func openMetricCase(t *testing.T, path string) *metricCase {
	t.Helper()
	raw, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	c := &metricCase{seen: map[string]bool{}}
	if err := json.Unmarshal(raw, c); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if c.file, err = safetensors.Open(path + ".safetensors"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for name := range c.Tensors {
			if !c.seen[name] {
				t.Errorf("tensor %s was not used", name)
			}
		}
		for name := range c.Scalars {
			if !c.seen[name] {
				t.Errorf("scalar %s was not compared", name)
			}
		}
		if err := c.file.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *metricCase) f64(t *testing.T, name string) []float64 {
	t.Helper()
	c.seen[name] = true
	v, err := c.file.Float64(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c *metricCase) ints(t *testing.T, name string) []int64 {
	t.Helper()
	c.seen[name] = true
	v, err := c.file.Int64(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// scalar compares a number with the case's.
func (c *metricCase) scalar(t *testing.T, name string, got float64) {
	t.Helper()
	c.seen[name] = true
	want, ok := c.Scalars[name]
	if !ok {
		t.Errorf("the case has no scalar %s", name)
	}
	c.close(t, name, got, want)
}

// vector compares numbers with the case's tensor.
func (c *metricCase) vector(t *testing.T, name string, got []float64) {
	t.Helper()
	want := c.f64(t, name)
	if len(got) != len(want) {
		t.Errorf("%s has %d values, want %d", name, len(got), len(want))
		return
	}
	for i := range got {
		c.close(t, fmt.Sprintf("%s[%d]", name, i), got[i], want[i])
	}
}

func (c *metricCase) close(t *testing.T, name string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= c.Tolerance.ATol+c.Tolerance.RTol*math.Abs(want)) {
		t.Errorf("%s is %v, want %v", name, got, want)
	}
}

// TestGoldenSAEMetrics runs every case of golden/sae/metrics by its kind.
func TestGoldenSAEMetrics(t *testing.T) {
	dir := filepath.Join(graphtest.Golden(t), "sae", "metrics")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		graphtest.Skip(t, "no golden metrics in %s: %v", dir, err)
	}
	checks := map[string]func(*testing.T, string){
		"core_metrics": checkCoreMetrics, "sparse_probing": checkSparseProbing, "absorption": checkAbsorption, "tpp_scr": checkTPPSCR,
	}
	ran := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ Kind string }
		if err := json.Unmarshal(raw, &head); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			check, ok := checks[head.Kind]
			if !ok {
				t.Fatalf("nothing checks cases of kind %q", head.Kind)
			}
			check(t, strings.TrimSuffix(file, ".json"))
		})
		ran[head.Kind] = true
	}
	for kind := range checks {
		if !ran[kind] {
			t.Errorf("there is no case of kind %q", kind)
		}
	}
}

// checkCoreMetrics compares the core metrics of one case; path has no extension.
func checkCoreMetrics(t *testing.T, path string) {
	c := openMetricCase(t, path)
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
		c.scalar(t, name, got)
	}
	c.seen["l1"] = true
	near(t, "l1", r.L1, c.Scalars["l1"], 1e-7) // the activations are stored as float32, the sum was taken in float64
	for i, ce := range c.Config.CE {
		clean, spliced, ablated := ce[0], ce[1], ce[2]
		score, err := LossRecovered(clean, spliced, ablated)
		if err != nil {
			t.Fatal(err)
		}
		c.scalar(t, fmt.Sprintf("ce_loss_score_%d", i), score)
		c.scalar(t, fmt.Sprintf("delta_ce_%d", i), spliced-clean)
		if score, err = KLRecovered(spliced, ablated); err != nil {
			t.Fatal(err)
		}
		c.scalar(t, fmt.Sprintf("kl_div_score_%d", i), score)
	}
	logs := make([]float64, f)
	for i, v := range r.Density {
		logs[i] = math.Log10(v + logDensityFloor)
	}
	c.vector(t, "feature_density", r.Density)
	c.vector(t, "log10_density", logs)
	c.vector(t, "consistent_activation", firings.Consistent())

	wDec := c.f64(t, "W_dec")
	g, err := MeasureGeometry(t.Context(), c.f64(t, "W_enc"), wDec, d, len(wDec)/d)
	if err != nil {
		t.Fatal(err)
	}
	c.vector(t, "max_decoder_cosine", g.MaxDecoder)
	c.vector(t, "max_encoder_cosine", g.MaxEncoder)
	c.vector(t, "enc_dec_cosine", g.EncoderCosine)
}

// checkSparseProbing compares selection, fits and scores of one case; path has no extension.
func checkSparseProbing(t *testing.T, path string) {
	c := openMetricCase(t, path)
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
	c.scalar(t, "n_train", float64(r.Train))
	c.scalar(t, "majority_accuracy", r.Majority)
	c.vector(t, "mean_diff", r.MeanDifference)
	for i, want := range c.ints(t, "top20") {
		if r.Order[i] != int32(want) {
			t.Errorf("latent %d in order is %d, want %d", i, r.Order[i], want)
		}
	}
	for _, s := range r.Scores {
		prefix := fmt.Sprintf("k%d.", s.K)
		c.scalar(t, prefix+"accuracy", s.Accuracy.Value)
		c.scalar(t, prefix+"auroc", s.AUC.Value)
		c.scalar(t, prefix+"f1", s.F1)
		c.scalar(t, prefix+"intercept", s.Intercept)
		c.vector(t, prefix+"coef", s.Coef)
	}
}

// checkAbsorption compares both definitions row by row; path has no extension.
func checkAbsorption(t *testing.T, path string) {
	c := openMetricCase(t, path)
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
	c.vector(t, "fraction", r.Fraction)
	c.scalar(t, "mean_fraction", r.MeanFraction)
	c.scalar(t, "full_rate", r.FullRate)
	for i, want := range truths(c.ints(t, "full")) {
		if r.Full[i] != want {
			t.Errorf("full[%d] is %v, want %v", i, r.Full[i], want)
		}
	}
}

// checkTPPSCR compares the scores of given accuracies; path has no extension.
func checkTPPSCR(t *testing.T, path string) {
	c := openMetricCase(t, path)
	s, err := TPP(c.f64(t, "clean_accuracy"), c.f64(t, "ablated_accuracy"))
	if err != nil {
		t.Fatal(err)
	}
	c.scalar(t, "tpp", s.TPP)
	c.scalar(t, "tpp_intended", s.Intended)
	c.scalar(t, "tpp_unintended", s.Unintended)
	for i, v := range c.Config.SCR {
		c.scalar(t, fmt.Sprintf("scr_%d", i), SCR(v[0], v[1], v[2]))
	}
}

func truths(v []int64) []bool {
	out := make([]bool, len(v))
	for i, x := range v {
		out[i] = x != 0
	}
	return out
}
