package sae

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// cltConfig is a cross-layer transcoder of a few hundred weights, for losses and gradients.
func cltConfig(arch string, edit func(*Config)) Config {
	cfg := literatureConfig(arch)
	cfg.Layers, cfg.DIn, cfg.DOut, cfg.DSAE, cfg.K, cfg.Batch, cfg.AuxCoef = 3, 4, 5, 6, 3, 4, 0
	cfg.JumpReLU.Sparsity = SparsityTanh
	if edit != nil {
		edit(&cfg)
	}
	return cfg
}

// cltReference is the loss of a cross-layer transcoder in float64, loop by loop, from the definition.
func cltReference(cfg Config, w weights, x, y []float32, coef float64) (loss, active float64) {
	n, d, o, f, rows := cfg.Layers, cfg.DIn, cfg.DOut, cfg.DSAE, cfg.Batch
	// dec is what latent i of layer l writes to dimension j of layer m.
	dec := func(l, i, m, j int) float64 {
		return float64(w.named(cfg, cltDecoder(l))[i*(n-l)*o+(m-l)*o+j])
	}
	norm := make([][]float64, n)
	pre, score := make([][][]float64, rows), make([][][]float64, rows)
	for l := range n {
		norm[l] = make([]float64, f)
		for i := range f {
			var sq float64
			for m := l; m < n; m++ {
				for j := range o {
					sq += dec(l, i, m, j) * dec(l, i, m, j)
				}
			}
			norm[l][i] = math.Sqrt(sq)
		}
	}
	var all [][3]int // row, layer, latent
	for r := range rows {
		pre[r], score[r] = make([][]float64, n), make([][]float64, n)
		for l := range n {
			pre[r][l], score[r][l] = make([]float64, f), make([]float64, f)
			for i := range f {
				v := float64(w.bEnc[l*f+i])
				for j := range d {
					v += float64(x[(r*n+l)*d+j]) * float64(w.enc[(l*f+i)*d+j])
				}
				pre[r][l][i], score[r][l][i] = v, v
				if cfg.RescaleByDecoder {
					score[r][l][i] *= norm[l][i]
				}
				all = append(all, [3]int{r, l, i})
			}
		}
	}
	// kept sorts those of some slots that are above zero by score and keeps the first k.
	on := map[[3]int]bool{}
	keep := func(k int, in func(at [3]int) bool) {
		var group [][3]int
		for _, at := range all {
			if in(at) && pre[at[0]][at[1]][at[2]] > 0 {
				group = append(group, at)
			}
		}
		slices.SortFunc(group, func(a, b [3]int) int { return cmp.Compare(score[b[0]][b[1]][b[2]], score[a[0]][a[1]][a[2]]) })
		for _, at := range group[:min(k, len(group))] {
			on[at] = true
		}
	}
	batch := cfg.base() == ArchBatchTopK
	switch base := cfg.base(); {
	case base == ArchStandard:
		keep(len(all), func([3]int) bool { return true })
	case base == ArchJumpReLU:
		theta := w.named(cfg, "threshold")
		keep(len(all), func(at [3]int) bool { return pre[at[0]][at[1]][at[2]] > float64(theta[at[1]*f+at[2]]) })
	case batch && cfg.CLT.PerLayer:
		for l := range n {
			keep(cfg.batchK()/n, func(at [3]int) bool { return at[1] == l })
		}
	case batch:
		keep(cfg.batchK(), func([3]int) bool { return true })
	case cfg.CLT.PerLayer:
		for r := range rows {
			for l := range n {
				keep(cfg.K/n, func(at [3]int) bool { return at[0] == r && at[1] == l })
			}
		}
	default:
		for r := range rows {
			keep(cfg.K, func(at [3]int) bool { return at[0] == r })
		}
	}
	for r := range rows {
		for m := range n {
			for j := range o {
				e := float64(w.bDec[m*o+j]) - float64(y[(r*n+m)*o+j])
				for l := range m + 1 {
					for i := range f {
						if on[[3]int{r, l, i}] {
							e += pre[r][l][i] * dec(l, i, m, j)
						}
					}
				}
				loss += e * e / float64(rows)
			}
		}
		for l := range n {
			for i := range f {
				if !on[[3]int{r, l, i}] {
					continue
				}
				active += 1 / float64(rows)
				switch cfg.base() {
				case ArchStandard:
					loss += coef * pre[r][l][i] * norm[l][i] / float64(rows)
				case ArchJumpReLU:
					loss += coef * math.Tanh(cfg.JumpReLU.TanhScale*pre[r][l][i]*norm[l][i]) / float64(rows)
				}
			}
		}
	}
	return loss, active
}

// TestCLTLoss compares loss, number of active latents and every gradient with the reference. No published numbers of the
// training of cross-layer transcoders exist to compare with.
func TestCLTLoss(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense program needs XLA's TopK")
	}
	perLayer := func(c *Config) { c.CLT.PerLayer = true }
	for _, c := range []struct {
		name, arch string
		edit       func(*Config)
	}{
		{"relu", ArchCLT, nil}, {"jumprelu", ArchJumpReLUCLT, nil}, {"topk", ArchTopKCLT, nil}, {"topk by layer", ArchTopKCLT, perLayer},
		{"topk by norm", ArchTopKCLT, func(c *Config) { c.RescaleByDecoder, c.K = true, 6 }},
		{"batchtopk", ArchBatchTopKCLT, nil}, {"batchtopk by layer", ArchBatchTopKCLT, perLayer},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := cltConfig(c.arch, c.edit)
			x, y := normals(71, cfg.Batch*cfg.inWidth()), normals(72, cfg.Batch*cfg.width())
			w := crosscoderWeights(cfg)
			const coef = 0.3
			want, active := cltReference(cfg, w, x, y, coef)
			out, grad := literatureStep(t, EngineDense, cfg, w, stepInput{x: x, y: y, coef: coef})
			near(t, "loss", out.loss, want, 1e-5)
			near(t, "L0", out.l0, active, 1e-6)
			if len(out.siteMSE) != 3 || len(out.fired) != 18 {
				t.Fatalf("%d sites, %d latents; want 3 and 18", len(out.siteMSE), len(out.fired))
			}
			near(t, "sum of the layers' errors", out.siteMSE[0]+out.siteMSE[1]+out.siteMSE[2], out.mse, 1e-5)
			gradientsAgree(t, cfg, w, grad, func(w weights) float64 {
				loss, _ := cltReference(cfg, w, x, y, coef)
				return loss
			})
		})
	}
}

// TestCLTByHand: two layers of width 1 with one latent each. W_enc = 1 and 2, W_dec,0 = (3, 4), W_dec,1 = 5, x = (1, 1), so that
// a = (1, 2), y^ = (3, 4 + 10) against y = (2, 10): errors 1 and 16; norms 5 and 5, so that the L1 term is 5 + 10 = 15.
// The gradient at a_0 is 2 (1*3 + 4*4) + 5 = 43, at a_1 2 * 4 * 5 + 5 = 45.
func TestCLTByHand(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	cfg := literatureConfig(ArchCLT)
	cfg.Layers, cfg.DIn, cfg.DSAE, cfg.Batch = 2, 1, 1, 1
	w := newWeights(cfg)
	copy(w.enc, []float32{1, 2})
	copy(w.named(cfg, "W_dec.0"), []float32{3, 4})
	copy(w.named(cfg, "W_dec.1"), []float32{5})
	out, grad := literatureStep(t, EngineDense, cfg, w, stepInput{x: []float32{1, 1}, y: []float32{2, 10}, coef: 1})
	near(t, "loss", out.loss, 32, 1e-6)
	near(t, "sparsity", out.sparsity, 15, 1e-6)
	if !slices.Equal(out.siteMSE, []float64{1, 16}) {
		t.Errorf("errors of the layers %v, want 1 and 16", out.siteMSE)
	}
	nearly(t, "gradient of b_enc", grad.bEnc, []float32{43, 45}, 1e-6, 0)
	nearly(t, "gradient of b_dec", grad.bDec, []float32{2, 8}, 1e-6, 0)
	nearly(t, "gradient of W_dec.0", grad.named(cfg, "W_dec.0"), []float32{2 + 0.6, 8 + 0.8}, 1e-6, 0) // 2 a e + a W / norm
	nearly(t, "gradient of W_dec.1", grad.named(cfg, "W_dec.1"), []float32{16 + 2}, 1e-6, 0)
}

// layeredSystem is a linear system of two layers. Features of layer 0 are read there, are still to be seen in layer 1's input,
// and write to both outputs; features of layer 1 arise there and write to its output.
type layeredSystem struct {
	d, early, late int
	read           []float32 // [early + late, d]
	write          []float32 // [early + late, 2, d]; late features write nothing to layer 0
	rows           []float32 // [n, 4d]: x_0, x_1, y_0, y_1
}

func plantLayers(d, early, late, rows int) layeredSystem {
	n := early + late
	s := layeredSystem{d, early, late, normals(81, n*d), normals(82, n*2*d), make([]float32, rows*4*d)}
	for row := range slices.Chunk(s.read, d) {
		unit(row)
	}
	for row := range slices.Chunk(s.write, d) {
		unit(row)
	}
	for i := early; i < n; i++ {
		clear(s.write[i*2*d : i*2*d+d])
	}
	rng := rand.New(rand.NewPCG(83, 1))
	for r := range rows {
		row := s.rows[r*4*d : (r+1)*4*d]
		active := rng.Perm(early)[:2]
		for _, i := range rng.Perm(late)[:2] {
			active = append(active, early+i)
		}
		for _, i := range active {
			v := float32(0.5 + rng.Float64())
			if i < early {
				axpyPlain(v, s.read[i*d:(i+1)*d], row[:d])
			}
			axpyPlain(v, s.read[i*d:(i+1)*d], row[d:2*d])
			axpyPlain(v, s.write[i*2*d:(i*2+1)*d], row[2*d:3*d])
			axpyPlain(2*v, s.write[(i*2+1)*d:(i*2+2)*d], row[3*d:])
		}
		for j := range row {
			row[j] += float32(0.01 * rng.NormFloat64())
		}
	}
	return s
}

// judge counts the features that a latent of their own layer writes with a cosine above 0.9, to all layers together. misplaced
// is the share of layer 1 in what the latents write to layer 1's output, as the sum of squared norms, on rows without any
// feature of layer 1: what should have been put in layer 0.
func (s layeredSystem) judge(t *testing.T, c *CLT) (early, late int, misplaced float64) {
	d := s.d
	t.Helper()
	cos := func(a, b []float32) float64 {
		return float64(dotPlain(a, b)) / math.Sqrt(float64(dotPlain(a, a))*float64(dotPlain(b, b))+1e-30)
	}
	for i := range s.early + s.late {
		want := slices.Clone(s.write[i*2*d : (i+1)*2*d])
		scaleBy(want[d:], 2)
		layer := 0
		if i >= s.early {
			layer, want = 1, want[d:]
		}
		best := 0.0
		for j := range c.DSAE {
			size := (2 - layer) * d
			best = max(best, cos(want, c.Layers[layer].WDec[j*size:(j+1)*size]))
		}
		if best <= 0.9 {
			continue
		}
		if layer == 0 {
			early++
		} else {
			late++
		}
	}
	only := plantLayers(d, s.early, s.late, 0)
	rng := rand.New(rand.NewPCG(84, 1))
	x := make([]float32, 500*2*d)
	for r := range 500 {
		for _, i := range rng.Perm(s.early)[:2] {
			axpyPlain(1, only.read[i*d:(i+1)*d], x[r*2*d:r*2*d+d])
			axpyPlain(1, only.read[i*d:(i+1)*d], x[r*2*d+d:(r+1)*2*d])
		}
	}
	lat, err := c.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	var energy [2]float64
	for j, at := range lat.Index {
		layer, i := int(at)/c.DSAE, int(at)%c.DSAE
		w := c.Decoder(layer, i, 1)
		energy[layer] += float64(lat.Value[j]) * float64(lat.Value[j]) * float64(dotPlain(w, w))
	}
	return early, late, energy[1] / (energy[0] + energy[1])
}

// TestCLTs trains every cross-layer transcoder on the system: each feature must be put in the layer where it arises, although
// the features of layer 0 could be read in layer 1 too. Runs resume exactly, and the saved transcoder does what the last steps
// reported.
func TestCLTs(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("TopK and the dense programs are for XLA")
	}
	s := plantLayers(20, 8, 8, 8000)
	for _, c := range []struct {
		name, arch string
		perLayer   bool
	}{
		{"relu", ArchCLT, false}, {"jumprelu", ArchJumpReLUCLT, false}, {"topk", ArchTopKCLT, false}, {"topk by layer", ArchTopKCLT, true},
		{"batchtopk", ArchBatchTopKCLT, false}, {"batchtopk by layer", ArchBatchTopKCLT, true},
	} {
		t.Run(c.name, func(t *testing.T) { trainCLT(t, s, c.arch, c.perLayer) })
	}
}

func trainCLT(t *testing.T, s layeredSystem, arch string, perLayer bool) {
	b := graphtest.Backend(t)
	cfg := DefaultConfig()
	cfg.Arch, cfg.Layers, cfg.DSAE, cfg.K, cfg.Batch, cfg.Tokens = arch, 2, 20, 4, 256, 256*1000
	cfg.LR, cfg.Loss, cfg.Decoder, cfg.InitRows = 3e-3, LossMSE, DecoderFree, 2000
	cfg.SparsityCoef, cfg.TargetL0, cfg.AuxCoef, cfg.ThresholdLR = 0.3, 4, 0, 0.05
	cfg.CheckpointTokens, cfg.CLT.PerLayer = 256*900, perLayer
	// The paper's: thresholds from 0.03, a bandwidth of 1, and gradients into the pre-activations.
	cfg.JumpReLU.Bandwidth, cfg.JumpReLU.Init, cfg.JumpReLU.Sparsity, cfg.JumpReLU.STEToInput = 1, 0.03, SparsityTanh, true
	switch arch {
	case ArchCLT: // as in TestCrosscoders
		cfg.TargetL0 = 7
	case ArchJumpReLUCLT:
		cfg.Tokens, cfg.CheckpointTokens = 256*2000, 256*1900
	case ArchBatchTopKCLT: // its 31 counting passes are slow on two cores
		cfg.Tokens, cfg.CheckpointTokens = 256*800, 256*700
	}
	cfg, err := cfg.Resolve(2 * s.d)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := NewMemoryRows(s.rows, cfg.rowWidth(), 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Start(b, cfg, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	before, err := tr.CLT()
	if err != nil {
		t.Fatal(err)
	}
	whole := folder{dir: t.TempDir()}
	var half string
	var last StepStats
	var recent float64
	err = tr.Train(t.Context(), rows, TrainOptions{
		Save: func(step int64, write func(string) error) error {
			err := whole.save(step, write)
			half = cmp.Or(half, whole.last)
			return err
		},
		OnStep: func(s StepStats) error { last = s; recent += (s.MSE - recent) / 20; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := tr.CLT()
	if err != nil {
		t.Fatal(err)
	}
	l0 := tr.AchievedL0()
	early, late, misplaced := s.judge(t, c)
	e0, l0before, _ := s.judge(t, before)
	t.Logf("FVU %.4f, by layer %.4f, L0 %.2f, features in their layer %d and %d of 8 and 8 (untrained %d and %d), share of layer 1 in what belongs to layer 0 %.3f; coefficient %.3g",
		last.FVU, last.SiteFVU, l0.Mean, early, late, e0, l0before, misplaced, last.Coef)
	if early < 7 || late < 7 || misplaced > 0.1 {
		t.Errorf("%d and %d of 8 and 8 features lie in their layer, and %.3f of layer 0's lies in layer 1; want 7, 7 and at most 0.1", early, late, misplaced)
	}
	if e0+l0before > 2 {
		t.Errorf("an untrained transcoder has %d features: the test is too weak", e0+l0before)
	}
	if math.Abs(l0.Mean-cfg.TargetL0) > 0.2*cfg.TargetL0 {
		t.Errorf("achieved L0 is %v, want %v within a fifth", l0, cfg.TargetL0)
	}
	compareCoder(t, c, s.rows[:2000*cfg.rowWidth()], recent, l0)
	resumeCoder(t, tr, whole, half, rows)
}
