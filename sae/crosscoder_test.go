package sae

import (
	"math"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// randomCrosscoder is a small crosscoder with random weights.
func randomCrosscoder(t testing.TB, sites, d, f int, activation, norm string) *Crosscoder {
	t.Helper()
	c := &Crosscoder{Sites: sites, DIn: d, DSAE: f, Activation: activation, K: 3, Norm: norm, AlphaSAE: 0.7, AlphaCC: 0.3, Metadata: map[string]any{"model_name": "tiny"}}
	if activation == ActivationReLU || activation == ActivationJumpReLU {
		c.K = 0
	}
	c.Scales = []float32{}
	for i, s := range c.tensors() {
		n := 1
		for _, d := range s.shape {
			n *= d
		}
		*s.at = normals(uint64(60+i), n)
		scaleBy(*s.at, 0.4)
	}
	for _, v := range [][]float32{c.Scales, c.Threshold} {
		for i := range v {
			v[i] = 0.3 + max(v[i], -v[i])
		}
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// crosscoderKinds are activations and norms that go together.
var crosscoderKinds = []struct{ activation, norm string }{
	{ActivationReLU, CodeNormCrosscoder}, {ActivationJumpReLU, CodeNormCrosscoder}, {ActivationTopK, CodeNormCrosscoder}, {ActivationTopK, CodeNormSAE},
	{ActivationBatchTopK, CodeNormCrosscoder}, {ActivationBatchTopK, CodeNormMixed}, {ActivationBatchTopK, CodeNormNone}, {ActivationBatchTopK, CodeNormDecoupled},
}

// TestCrosscoderEncodes by hand: two sites of width 1, scales (1, 2), three latents. x = (1, 2) is (1, 4) scaled; W_enc by site
// is (1, 0, -1) and (0, 1, 1), so that pre = (1, 4, 3). Decoder rows, over sites: (3, 4), (1, 0), (0, 0.5): sums of norms 7, 1,
// 0.5, norms of the whole 5, 1, 0.5.
func TestCrosscoderEncodes(t *testing.T) {
	base := Crosscoder{
		Sites: 2, DIn: 1, DSAE: 3, Activation: ActivationReLU, Norm: CodeNormCrosscoder, K: 1, Scales: []float32{1, 2},
		WEnc: []float32{1, 0, -1, 0, 1, 1}, WDec: []float32{3, 4, 1, 0, 0, 0.5}, BEnc: make([]float32, 3), BDec: []float32{0, 1},
	}
	for _, c := range []struct {
		name      string
		edit      func(*Crosscoder)
		latents   []float32 // of the row
		y         []float32
		threshold []float32
	}{
		// x^ = (3+4, 4+1.5+1) / scales
		{"relu", func(*Crosscoder) {}, []float32{1, 4, 3}, []float32{7, 6.5 / 2}, nil},
		{"jumprelu", func(c *Crosscoder) { c.Activation = ActivationJumpReLU }, []float32{0, 4, 0}, []float32{4, 0.5}, []float32{1, 2, 3}},
		{"topk", func(c *Crosscoder) { c.Activation = ActivationTopK }, []float32{1, 0, 0}, []float32{3, 2.5}, nil},                                        // 7, 4, 1.5
		{"batchtopk", func(c *Crosscoder) { c.Activation = ActivationBatchTopK }, []float32{1, 4, 0}, []float32{7, 2.5}, []float32{2}},                     // above 2
		{"norm none", func(c *Crosscoder) { c.Activation, c.Norm = ActivationTopK, CodeNormNone }, []float32{0, 4, 0}, []float32{4, 0.5}, nil},             // 1, 4, 3
		{"norm sae", func(c *Crosscoder) { c.Activation, c.Norm = ActivationBatchTopK, CodeNormSAE }, []float32{1, 0, 0}, []float32{3, 2.5}, []float32{4}}, // 5, 4, 1.5: strictly above
		{"norm mixed", func(c *Crosscoder) {
			c.Activation, c.Norm, c.AlphaSAE, c.AlphaCC = ActivationBatchTopK, CodeNormMixed, 1, 0.1
		}, []float32{1, 4, 0}, []float32{7, 2.5}, []float32{4.3}}, // 5.7, 4.4, 1.65
		// Site 0 has scores 3, 4, 0, of which 4 is above 3.5; site 1 has 4, 0, 1.5, of which 4 is above 2.
		{"norm decoupled", func(c *Crosscoder) { c.Activation, c.Norm = ActivationBatchTopK, CodeNormDecoupled }, []float32{1, 4, 0}, []float32{4, 2.5}, []float32{3.5, 2}},
	} {
		x := base.clone()
		c.edit(x)
		x.Threshold = c.threshold
		lat, y, err := x.Reconstruct([]float32{1, 2})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		nearly(t, c.name+": latents", denseLatents(lat, 3), c.latents, 1e-6, 0)
		nearly(t, c.name+": reconstruction", y, c.y, 1e-6, 0)
	}
}

// TestCrosscoderForms: the SAE of the concatenated activations and the crosscoder of raw ones compute the same, as does one
// with its sites in another order, and a saved one is the same to the bit.
func TestCrosscoderForms(t *testing.T) {
	const sites, d, f, n = 3, 5, 24, 40
	x := normals(5, n*sites*d)
	for _, k := range crosscoderKinds {
		name := k.activation + "/" + k.norm + " "
		c := randomCrosscoder(t, sites, d, f, k.activation, k.norm)
		lat, y, err := c.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		active := denseLatents(lat, f)
		if got := len(lat.Index); got == 0 || got == n*f {
			t.Fatalf("%s: %d active latents of %d: the comparison is empty", name, got, n*f)
		}
		if flat, err := c.Flat(); err == nil {
			fl, fy, err := flat.Reconstruct(x)
			if err != nil {
				t.Fatal(err)
			}
			nearly(t, name+"flat reconstruction", fy, y, 1e-5, 1e-5)
			if !slices.Equal(support(denseLatents(fl, f)), support(active)) {
				t.Errorf("%s: the SAE of the concatenated activations has other active latents", name)
			}
		} else if k.norm != CodeNormDecoupled {
			t.Error(err)
		}
		dir := t.TempDir()
		if err := c.Save(dir, make([]float64, f)); err != nil {
			t.Fatal(err)
		}
		again, err := LoadCrosscoder(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range c.tensors() {
			nearly(t, name+"saved "+s.name, *again.tensors()[i].at, *s.at, 0, 0)
		}
		if again.Shape() != c.Shape() || again.Norm != c.Norm || again.AlphaCC != c.AlphaCC {
			t.Errorf("%s: loaded %+v, saved %+v", name, again.Shape(), c.Shape())
		}

		turned := c.permuted([]int{2, 0, 1})
		tl, ty, err := turned.Reconstruct(permuteRows(x, sites, d, []int{2, 0, 1}))
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, name+"latents of permuted sites", denseLatents(tl, f), active, 1e-5, 1e-6)
		nearly(t, name+"reconstruction of permuted sites", ty, permuteRows(y, sites, d, []int{2, 0, 1}), 1e-5, 1e-5)

		selects := k.activation == ActivationTopK || k.activation == ActivationBatchTopK
		folded := c.clone()
		err = folded.Fold()
		if selects && k.norm != CodeNormNone {
			if err == nil || !strings.Contains(err.Error(), "use Flat") {
				t.Errorf("%s: different scales were folded into a selection by norms: %v", name, err)
			}
			for i := range c.Scales {
				c.Scales[i] = 0.8
			}
			if lat, y, err = c.Reconstruct(x); err != nil {
				t.Fatal(err)
			}
			active, folded = denseLatents(lat, f), c.clone()
			err = folded.Fold()
		}
		if err != nil {
			t.Fatal(err)
		}
		fl, fy, err := folded.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, name+"folded latents", denseLatents(fl, f), active, 1e-5, 1e-5)
		nearly(t, name+"folded reconstruction", fy, y, 1e-5, 1e-5)
	}
}

// support tells which values are not zero.
func support(x []float32) []bool {
	out := make([]bool, len(x))
	for i, v := range x {
		out[i] = v != 0
	}
	return out
}

// permuted is the crosscoder with its sites in another order.
func (c *Crosscoder) permuted(order []int) *Crosscoder {
	out := c.clone()
	for to, from := range order {
		n := c.DIn * c.DSAE
		copy(out.WEnc[to*n:(to+1)*n], c.WEnc[from*n:(from+1)*n])
		for i := range c.DSAE {
			copy(out.Decoder(i, to), c.Decoder(i, from))
		}
		copy(out.BDec[to*c.DIn:(to+1)*c.DIn], c.BDec[from*c.DIn:(from+1)*c.DIn])
		out.Scales[to] = c.Scales[from]
		if len(c.Threshold) == c.Sites {
			out.Threshold[to] = c.Threshold[from]
		}
	}
	return out
}

// permuteRows returns the rows of x with their sites in another order.
func permuteRows(x []float32, sites, d int, order []int) []float32 {
	out := make([]float32, len(x))
	for r := range len(x) / (sites * d) {
		for to, from := range order {
			copy(out[(r*sites+to)*d:(r*sites+to+1)*d], x[(r*sites+from)*d:])
		}
	}
	return out
}

// TestCrosscoderDiff by hand: latent 0 is of site a alone, 1 of b alone, 2 of both along one line, 3 of both with a cosine of
// 0.6 and norms 5 and 1, 4 of neither.
func TestCrosscoderDiff(t *testing.T) {
	c := &Crosscoder{
		Sites: 2, DIn: 2, DSAE: 5, Activation: ActivationReLU, Norm: CodeNormCrosscoder,
		WEnc: make([]float32, 20), BEnc: make([]float32, 5), BDec: make([]float32, 4),
		WDec: []float32{1, 0, 0, 0 /**/, 0, 0, 0, 2 /**/, 1, 1, -1, -1 /**/, 3, 4, 1, 0 /**/, 0, 0, 0, 0},
	}
	d, err := c.Diff(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0, 1, 0.5, 1.0 / 6, math.NaN()} {
		if got := d.Relative[i]; !(math.Abs(got-want) < 1e-12) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("relative norm of latent %d is %v, want %v", i, got, want)
		}
	}
	for i, want := range []float64{math.NaN(), math.NaN(), -1, 0.6, math.NaN()} {
		if got := d.Cosine[i]; !(math.Abs(got-want) < 1e-6) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("cosine of latent %d is %v, want %v", i, got, want)
		}
	}
	count := d.Count(0.1, 0.1)
	count.SharedCos = math.Round(count.SharedCos*1e6) / 1e6
	if want := (DiffCount{OnlyA: 1, OnlyB: 1, Shared: 1, Between: 2, Opposed: 1, SharedCos: -1}); count != want {
		t.Errorf("count %+v, want %+v", count, want)
	}
	if _, err := c.Diff(0, 2); err == nil {
		t.Error("a site that is not there was compared")
	}
}

// TestEvaluateCoder compares the measures of a crosscoder, by backend and on the host, with those computed row by row.
func TestEvaluateCoder(t *testing.T) {
	const sites, d, f, n = 2, 4, 12, 50
	for _, norm := range []string{CodeNormCrosscoder, CodeNormDecoupled} {
		c := randomCrosscoder(t, sites, d, f, ActivationBatchTopK, norm)
		x := normals(8, n*sites*d)
		lat, y, err := c.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := NewMemoryRows(x, sites*d, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		res, err := EvaluateCoder(t.Context(), graphtest.Backend(t), c, rows, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		var sse float64
		for i, v := range y {
			sse += float64(v-x[i]) * float64(v-x[i])
		}
		m := NewMetrics(sites*d, f)
		if err := m.Add(x, y, lat); err != nil {
			t.Fatal(err)
		}
		whole := m.Result()
		near(t, "mse", res.MSE, sse/n, 1e-5)
		near(t, "fvu", res.FVU, whole.FVU, 1e-5)
		near(t, "l0", res.L0, float64(len(lat.Index))/n, 1e-12)
		near(t, "errors of the sites", res.Sites[0].MSE+res.Sites[1].MSE, sse/n, 1e-5)
		if res.Rows != n || res.Dead != whole.Dead || len(res.Sites) != sites {
			t.Errorf("%d rows, %d dead, %d sites; want %d, %d, %d", res.Rows, res.Dead, len(res.Sites), n, whole.Dead, sites)
		}
	}
}

func TestCrosscoderConfigErrors(t *testing.T) {
	for field, edit := range map[string]func(*Config){
		"layers":                       func(c *Config) { c.Arch = ArchTopK },
		"crosscoder.norm":              func(c *Config) { c.Crosscoder.Norm = "l2" },
		"crosscoder.alpha_sae":         func(c *Config) { c.Crosscoder.Norm, c.Crosscoder.AlphaSAE, c.Crosscoder.AlphaCC = CodeNormMixed, 0, 0 },
		"normalize_activations":        func(c *Config) { c.Normalize = normalizeLayerNorm },
		"rescale_acts_by_decoder_norm": func(c *Config) { c.RescaleByDecoder = true },
		"engine":                       func(c *Config) { c.Engine = EngineHybrid },
	} {
		c := DefaultConfig()
		c.Arch, c.Layers, c.DSAE, c.AuxK = ArchCrosscoder, 2, 64, 8
		edit(&c)
		if _, err := c.Resolve(16); err == nil || !strings.Contains(err.Error(), field+" is ") {
			t.Errorf("wrong %s: %v", field, err)
		}
	}
	c := DefaultConfig()
	c.Arch, c.Layers, c.DSAE = ArchCrosscoder, 3, 64
	if _, err := c.Resolve(16); err == nil || !strings.Contains(err.Error(), "layers is 3") {
		t.Errorf("three sites of 16 dimensions together: %v", err)
	}
	if got, err := func() (Config, error) { c.Layers = 2; return c.Resolve(16) }(); err != nil || got.DIn != 8 {
		t.Errorf("two sites of 16 dimensions together: d_in %d, %v", got.DIn, err)
	}
}
