package sae

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// The tests of this file are the bugs that published SAE code had, each under its name.

// step runs one step of an engine from weights w and returns the report and the first moments, which are the gradients
// because both betas are 0.
func literatureStep(t *testing.T, engine string, cfg Config, w weights, in stepInput) (stepOutput, weights) {
	t.Helper()
	e, err := newEngine(graphtest.Backend(t), engine, cfg, newParams(w.clone()))
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	in.t = 1
	out, err := e.step(in)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return out, p.m.clone()
}

func literatureConfig(arch string) Config {
	return Config{
		Arch: arch, DIn: 8, DSAE: 16, K: 2, Batch: 12, Loss: LossMSE, Decoder: DecoderFree, Normalize: NormalizeNone,
		AuxK: 4, AuxCoef: 1, AdamEps: 1, LpNorm: 1, JumpReLU: JumpReLUConfig{Bandwidth: 0.5, Kernel: KernelRectangle, Sparsity: SparsityStep, TanhScale: 4},
		Matryoshka: MatryoshkaConfig{Widths: []int{4, 8, 16}, PerRow: true},
	}
}

// TestLiteratureAuxHasNoBDec moves the data and b_dec together: AuxK reconstructs the residual without b_dec, so that
// its loss stays (SAELens #666, sparsify #134).
func TestLiteratureAuxHasNoBDec(t *testing.T) {
	for _, loss := range []string{LossMSE, LossFVU} {
		cfg := literatureConfig(ArchTopK)
		cfg.Loss = loss
		x := normals(3, cfg.Batch*cfg.DIn)
		w := initialWeights(cfg, x, x)
		dead := []int32{1, 4, 5, 9, 12}
		a, _ := literatureStep(t, EngineHybrid, cfg, w, stepInput{x: x, dead: dead})
		for i := range x {
			x[i] += 5
		}
		for i := range w.bDec {
			w.bDec[i] += 5
		}
		b, _ := literatureStep(t, EngineHybrid, cfg, w, stepInput{x: x, dead: dead})
		if a.aux <= 0 {
			t.Fatal("AuxK is not part of the loss")
		}
		near(t, loss+": AuxK after the move", b.aux, a.aux, 1e-4)
	}
}

// TestLiteratureAuxIsRectified gives dead latents negative pre-activations: with the FVU loss they may not reconstruct
// anything, so that AuxK's share is its coefficient and they have no gradient.
func TestLiteratureAuxIsRectified(t *testing.T) {
	cfg := literatureConfig(ArchTopK)
	cfg.Loss, cfg.AuxCoef = LossFVU, 0.25
	x := normals(4, cfg.Batch*cfg.DIn)
	w := initialWeights(cfg, x, x)
	dead := []int32{2, 3, 7}
	for _, i := range dead {
		w.bEnc[i] = -100
	}
	out, g := literatureStep(t, EngineHybrid, cfg, w, stepInput{x: x, dead: dead})
	var residual float64 // sum|e|^2 / sum|e - mean e|^2 is above 1 by the mean's share alone
	if residual = out.aux / cfg.AuxCoef; residual < 1 || residual > 2 {
		t.Errorf("AuxK is %v of its coefficient; with nothing reconstructed it is 1 and a little", residual)
	}
	for _, i := range dead {
		if g.bEnc[i] != 0 {
			t.Errorf("dead latent %d has gradient %v", i, g.bEnc[i])
		}
	}
}

// TestLiteratureStepOfPreActivation puts a pre-activation just below its threshold: the L0 term's step is taken of it
// and not of the activation, which is zero there, so that the threshold has a gradient (dictionary_learning #55).
func TestLiteratureStepOfPreActivation(t *testing.T) {
	cfg := literatureConfig(ArchJumpReLU)
	cfg.DIn, cfg.DSAE, cfg.Batch = 1, 1, 1
	w := newWeights(cfg)
	w.enc[0], w.dec[0], w.named(cfg, "threshold")[0] = 1, 1, 1
	out, g := literatureStep(t, EngineDense, cfg, w, stepInput{x: []float32{0.9}, coef: 3})
	if out.l0 != 0 {
		t.Fatalf("L0 is %v; the pre-activation 0.9 is below the threshold 1", out.l0)
	}
	// d loss / d theta = coef * -1/bw + 2 e (d f / d theta) W_dec = 3 * -2 + 2 * -0.9 * -(1/0.5) = -2.4
	near(t, "gradient of the threshold", float64(g.named(cfg, "threshold")[0]), -2.4, 1e-5)
}

// TestLiteratureThresholdMoves trains JumpReLU under a large coefficient: raw thresholds do not saturate as exp(theta)
// does under Adam, so that L0 falls as far as it is pushed (SAELens #719).
func TestLiteratureThresholdMoves(t *testing.T) {
	cfg := small(t, func(c *Config) {
		c.Arch, c.Engine, c.Loss, c.SparsityCoef, c.Tokens, c.LR, c.Clip = ArchJumpReLU, EngineDense, LossMSE, 100, 32*600, 3e-2, 0
		c.JumpReLU.Bandwidth, c.SparsityWarmup, c.CheckpointTokens = 0.5, 0, 1<<30
	})
	_, last := train(t, graphtest.Backend(t), cfg, plant(9, cfg.DIn, 24, 3, 300, 0.05).x)
	if last.L0 > 1 {
		t.Errorf("L0 is %v under coefficient 100, want below 1 of the 8 or so at the start", last.L0)
	}
}

// TestLiteratureMatryoshkaSumsPrefixes compares the loss with the prefixes' squared errors summed by hand: a plain sum,
// not one divided by the square of their number.
func TestLiteratureMatryoshkaSumsPrefixes(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("TopK does not finish on the Go backend")
	}
	cfg := literatureConfig(ArchMatryoshka)
	x := normals(5, cfg.Batch*cfg.DIn)
	w := initialWeights(cfg, x, x)
	out, _ := literatureStep(t, EngineDense, cfg, w, stepInput{x: x})
	s := exported(cfg, w.clone())
	lat, err := s.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	var want float64
	for _, width := range cfg.Matryoshka.Widths {
		part := Latents{Start: lat.Start, Index: lat.Index, Value: append([]float32{}, lat.Value...)}
		for j, i := range part.Index {
			if int(i) >= width {
				part.Value[j] = 0
			}
		}
		y, err := s.Decode(part)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range y {
			want += float64(v-x[i]) * float64(v-x[i]) / float64(cfg.Batch)
		}
	}
	near(t, "loss", out.loss, want, 1e-5)
}

// TestLiteratureBatchThresholdIsState wants the running threshold in the checkpoint.
func TestLiteratureBatchThresholdIsState(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("batchtopk needs the dense engine, which is for XLA")
	}
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) { c.Arch, c.Engine, c.AuxCoef = ArchBatchTopK, EngineAuto, 0 })
	x := normals(6, cfg.Batch*cfg.DIn)
	tr, err := NewTrainer(b, cfg, x)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if _, err := tr.Step(x); err != nil {
		t.Fatal(err)
	}
	if tr.threshold[0] <= 0 {
		t.Fatalf("the threshold is %v after a step", tr.threshold)
	}
	dir := t.TempDir()
	if err := tr.WriteCheckpoint(dir, nil); err != nil {
		t.Fatal(err)
	}
	again, _, err := ReadCheckpoint(b, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.threshold[0] != tr.threshold[0] {
		t.Errorf("the threshold is %v, %v after a checkpoint", tr.threshold, again.threshold)
	}
}

// TestLiteratureTopKIsNotFolded refuses to fold the decoder's norms into a plain TopK, which would select other latents
// (SAELens #354, #381, #439).
func TestLiteratureTopKIsNotFolded(t *testing.T) {
	for _, arch := range []string{ArchTopK, ArchAbsTopK, ArchMatchingPursuit} {
		s := &SAE{Arch: arch, DIn: 1, DSAE: 1, K: 1, WEnc: []float32{1}, WDec: []float32{3}, BEnc: []float32{0}, BDec: []float32{0}}
		if err := s.FoldDecoderNorm(); err == nil || !strings.Contains(err.Error(), arch) {
			t.Errorf("%s: folded, or the wrong error: %v", arch, err)
		}
		if s.WDec[0] != 3 {
			t.Errorf("%s: a refused fold changed the weights", arch)
		}
	}
}

// TestLiteratureThresholdPrecision keeps thresholds in float32 on disk: 1/3 must survive, which bfloat16 turns into
// 0.33398.
func TestLiteratureThresholdPrecision(t *testing.T) {
	s := &SAE{
		Arch: ArchJumpReLU, DIn: 1, DSAE: 1, Normalize: NormalizeNone, WEnc: []float32{1}, WDec: []float32{1},
		BEnc: []float32{0}, BDec: []float32{0}, Threshold: []float32{1.0 / 3},
	}
	dir := t.TempDir()
	if err := s.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(dir, weightsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, _ := f.Info("threshold"); info.DType != "F32" {
		t.Errorf("the threshold is stored as %s", info.DType)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Threshold[0] != s.Threshold[0] {
		t.Errorf("the threshold is %v, want %v", got.Threshold[0], s.Threshold[0])
	}
	if _, err := os.Stat(filepath.Join(dir, configFile)); err != nil {
		t.Error(err)
	}
}

// TestLiteratureDecoderIsNotTransposed reads a square sparsify folder, whose shapes cannot tell W_dec from its transpose: row i
// is what latent i writes, and b_dec is subtracted from the input although the decoder is normalised (SAELens's
// sparsify_disk_loader does neither).
func TestLiteratureDecoderIsNotTransposed(t *testing.T) {
	dir := t.TempDir()
	err := safetensors.Write(filepath.Join(dir, sparsifyWeights), []safetensors.Tensor{
		safetensors.F32("encoder.weight", []int{2, 2}, []float32{1, 0, 0, 1}), safetensors.F32("encoder.bias", []int{2}, []float32{0, 0}),
		safetensors.F32("W_dec", []int{2, 2}, []float32{0.6, 0.8, 0, 1}), safetensors.F32("b_dec", []int{2}, []float32{1, 0}),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := `{"activation": "topk", "expansion_factor": 1, "normalize_decoder": true, "num_latents": 2, "k": 1, "multi_topk": false, "skip_connection": false, "transcode": false, "d_in": 2}`
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s, format, err := Read(dir)
	if err != nil || format != FormatSparsify {
		t.Fatal(format, err)
	}
	_, y, err := s.Reconstruct([]float32{3, 1}) // less b_dec (2, 1): latent 0 with 2
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "reconstruction", y, []float32{2.2, 1.6}, 1e-6, 0)
}

// TestLiteratureVarianceIsCentred moves data and reconstruction by a constant: explained variance and squared error
// stay, and the error of a row does not depend on the batch it came in.
func TestLiteratureVarianceIsCentred(t *testing.T) {
	const n, d = 40, 6
	x, noise := normals(7, n*d), normals(8, n*d)
	measure := func(shift float32, batch int) Result {
		m := NewMetrics(d, 1)
		for lo := 0; lo < n; lo += batch {
			var a, b []float32
			for i := lo * d; i < (lo+batch)*d; i++ {
				a, b = append(a, x[i]+shift), append(b, x[i]+shift+0.3*noise[i])
			}
			if err := m.Add(a, b, newLatents(batch, 1)); err != nil {
				t.Fatal(err)
			}
		}
		return m.Result()
	}
	want := measure(0, n)
	for _, got := range []Result{measure(100, n), measure(0, 8)} {
		if math.Abs(got.Explained-want.Explained) > 1e-4 || math.Abs(got.MSE-want.MSE) > 1e-4*want.MSE {
			t.Errorf("explained variance %v, MSE %v; want %v and %v", got.Explained, got.MSE, want.Explained, want.MSE)
		}
	}
}

func TestSchedules(t *testing.T) {
	cfg := Config{LR: 1, Warmup: 0.1, Decay: 0.2, SparsityWarmup: 0.5, Batch: 1, Tokens: 100}
	for _, c := range []struct {
		schedule   string
		step       int64
		rate, coef float64
	}{
		{ScheduleLinear, 5, 0.5, 0.1}, {ScheduleLinear, 50, 1, 1}, {ScheduleLinear, 80, 1, 1}, {ScheduleLinear, 100, 1.0 / 21, 1},
		{ScheduleCosine, 5, 0.5, 0.1}, {ScheduleCosine, 25, 1, 0.5}, {ScheduleCosine, 100, (1 - math.Cos(math.Pi/21)) / 2, 1},
	} {
		cfg.Schedule = c.schedule
		near(t, c.schedule+" rate", learningRate(cfg, c.step), c.rate, 1e-12)
		near(t, c.schedule+" sparsity share", sparsityShare(cfg, c.step), c.coef, 1e-12)
	}
	cfg.Decay = 0
	if r := learningRate(cfg, 100); r != 1 {
		t.Errorf("a constant rate ends at %v", r)
	}
}
