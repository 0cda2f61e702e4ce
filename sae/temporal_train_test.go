package sae

import (
	"cmp"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// temporalConfig is a temporal SAE of a few hundred weights, without an optimiser that hides gradients.
func temporalConfig(edit func(*Config)) Config {
	cfg := literatureConfig(ArchTemporal)
	cfg.DIn, cfg.DSAE, cfg.K, cfg.Batch, cfg.AuxCoef = 4, 8, 3, 10, 0
	cfg.Temporal = TemporalConfig{Context: 5, Heads: 2, Layers: 2, Bottleneck: 2, Novel: NovelTopK}
	if edit != nil {
		edit(&cfg)
	}
	return cfg
}

// temporalSAE is the SAE that weights in training are.
func temporalSAE(cfg Config, w weights) *SAE {
	s := exported(cfg, w.clone())
	exportTemporal(cfg, w.clone(), s, 1)
	return s
}

// TestTemporalByHand: d = 2, one latent (2, 0), one head, all maps of the attention 1. Tokens (2, 1) and (4, 3) have the codes
// 4/8 and 8/8. Token 0 has no past: nothing is predicted, its code writes (1, 0), error (1, 1). Token 1 attends to nothing and to
// token 0; whatever weight comes out, the projection along (2, 0) takes the residual's 4: predicted (4, 0), error (0, 3), and no
// novel code. The loss is (2 + 9) / 2, L0 a half.
func TestTemporalByHand(t *testing.T) {
	cfg := temporalConfig(func(c *Config) { c.DIn, c.DSAE, c.K, c.Batch = 2, 1, 1, 2 })
	cfg.Temporal = TemporalConfig{Context: 2, Heads: 1, Layers: 1, Bottleneck: 1, Novel: NovelTopK}
	w := newWeights(cfg)
	copy(w.dec, []float32{2, 0})
	for _, part := range []string{"k_ctx", "q_target", "v_ctx", "c_proj"} {
		w.named(cfg, temporalName(0, part)+".weight")[0] = 1
	}
	x := []float32{2, 1, 4, 3}
	lat, predicted, y, err := temporalSAE(cfg, w).Sequence(x)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "novel", denseLatents(lat, 1), []float32{0.5, 0}, 1e-6, 1e-5)
	nearly(t, "predicted", predicted, []float32{0, 2}, 1e-5, 0)
	nearly(t, "reconstruction", y, []float32{1, 0, 4, 0}, 1e-5, 1e-5)
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	out, _ := literatureStep(t, EngineDense, cfg, w, stepInput{x: x})
	near(t, "loss", out.loss, 5.5, 1e-5)
}

// TestTemporalLoss compares loss, L0 and every gradient with the host's float64 inference, which the golden case of the
// architecture covers, and its central differences.
func TestTemporalLoss(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense program needs XLA's TopK")
	}
	for name, edit := range map[string]func(*Config){
		"tied": nil, "untied": func(c *Config) { c.Temporal.Untied = true }, "relu": func(c *Config) { c.Temporal.Novel = NovelReLU },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := temporalConfig(edit)
			w := newWeights(cfg)
			startTemporal(cfg, w, rand.New(rand.NewPCG(7, 7)))
			copy(w.bDec, []float32{0.1, -0.2, 0.3, 0.1})
			x := normals(31, cfg.Batch*cfg.DIn)
			scaleBy(x, 2)
			const coef = 0.4
			reference := func(w weights) (loss, active float64) {
				s := temporalSAE(cfg, w)
				for seq := range slices.Chunk(x, cfg.Temporal.Context*cfg.DIn) {
					lat, _, decoded, _ := s.sequence(seq)
					for i, v := range slices.Concat(decoded...) {
						loss += (v - float64(seq[i])) * (v - float64(seq[i])) / float64(cfg.Batch)
					}
					for _, v := range lat.Value {
						active += 1 / float64(cfg.Batch)
						if cfg.Temporal.Novel == NovelReLU {
							loss += coef * float64(v) / float64(cfg.Batch)
						}
					}
				}
				return loss, active
			}
			want, active := reference(w)
			out, grad := literatureStep(t, EngineDense, cfg, w, stepInput{x: x, coef: coef})
			near(t, "loss", out.loss, want, 1e-5)
			near(t, "L0", out.l0, active, 1e-6)
			gradientsAgree(t, cfg, w, grad, func(w weights) float64 { loss, _ := reference(w); return loss })
		})
	}
}

// TestTemporalGoldenStep puts SAELens's golden weights into training: the step's error and L0 are those of its outputs.
func TestTemporalGoldenStep(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense program needs XLA's TopK")
	}
	path := filepath.Join(graphtest.Golden(t), "sae", "dirs", "temporal")
	if _, err := os.Stat(path); err != nil {
		graphtest.Skip(t, "no golden data: %v", err)
	}
	c := readGolden(t, path)
	c.open(t)
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	x := c.f32(t, "x")
	cfg := temporalConfig(func(c *Config) { c.DIn, c.DSAE, c.K, c.Batch = s.DIn, s.DSAE, s.Temporal.TopK, len(x)/s.DIn })
	cfg.Temporal = TemporalConfig{Context: c.Tensors["x"].Shape[1], Heads: s.Temporal.Heads, Layers: len(s.Temporal.Layers), Bottleneck: s.Temporal.Bottleneck, Novel: NovelTopK}
	w := newWeights(cfg)
	for _, tensor := range temporalTensors(s) {
		copy(w.named(cfg, tensor.name), *tensor.at)
	}
	out, _ := literatureStep(t, EngineDense, cfg, w, stepInput{x: x})
	near(t, "mse_per_token", out.mse, c.number(t, "mse_per_token"), 1e-5)
	near(t, "l0_mean", out.l0, c.number(t, "l0_mean"), 1e-6)

	s.Metadata[contextKey] = float64(cfg.Temporal.Context)
	run, err := NewCoderRunner(graphtest.Backend(t), s, cfg.Batch)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	lat, y, err := run.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "feature_acts on the backend", denseLatents(lat, s.DSAE), c.f32(t, "feature_acts"), c.Tolerance.RTol, c.Tolerance.ATol)
	nearly(t, "recon on the backend", y, c.f32(t, "recon"), c.Tolerance.RTol, c.Tolerance.ATol)
}

// story is data of sequences: two slow features of each last through it, with a strength that drifts, and one new feature of
// each token comes and goes.
type story struct {
	d, length   int
	slow, novel []float32 // directions, [., d]
	x, lasting  []float32 // [n, length, d]: the rows and the slow part of them
}

func plantStories(d, length, slow, novel, sequences int) story {
	s := story{d: d, length: length, slow: normals(61, slow*d), novel: normals(62, novel*d), x: make([]float32, sequences*length*d), lasting: make([]float32, sequences*length*d)}
	for _, v := range [][]float32{s.slow, s.novel} {
		for row := range slices.Chunk(v, d) {
			unit(row)
		}
	}
	rng := rand.New(rand.NewPCG(63, 1))
	for q := range sequences {
		topics := rng.Perm(slow)[:2]
		strength := []float64{2 + rng.Float64(), 2 + rng.Float64()}
		for at := range length {
			row := s.x[(q*length+at)*d : (q*length+at+1)*d]
			for j, i := range topics {
				strength[j] += 0.1 * rng.NormFloat64()
				axpyPlain(float32(strength[j]), s.slow[i*d:(i+1)*d], row)
			}
			copy(s.lasting[(q*length+at)*d:], row)
			i := rng.IntN(novel)
			axpyPlain(float32(1+rng.Float64()), s.novel[i*d:(i+1)*d], row)
			for j := range row {
				row[j] += float32(0.02 * rng.NormFloat64())
			}
		}
	}
	return s
}

// judge returns the share of the slow part's energy that the prediction misses, after the first tokens of a sequence, and the
// number of novel features that a novel latent writes with a cosine above 0.9.
func (s story) judge(t *testing.T, c *SAE, sequences int) (missed float64, found int) {
	t.Helper()
	var err2, all float64
	active := map[int32]bool{}
	for q := range sequences {
		lo, hi := q*s.length*s.d, (q+1)*s.length*s.d
		lat, predicted, _, err := c.Sequence(s.x[lo:hi])
		if err != nil {
			t.Fatal(err)
		}
		for at := 3; at < s.length; at++ {
			written := make([]float32, s.d)
			for i, v := range predicted[at*c.DSAE : (at+1)*c.DSAE] {
				axpyPlain(v/float32(c.Temporal.Scale), c.Decoder(i), written)
			}
			for j, v := range s.lasting[lo+at*s.d : lo+(at+1)*s.d] {
				v -= c.BDec[j] / float32(c.Temporal.Scale)
				err2 += float64(v-written[j]) * float64(v-written[j])
				all += float64(v) * float64(v)
			}
		}
		for _, i := range lat.Index {
			active[i] = true
		}
	}
	for want := range slices.Chunk(s.novel, s.d) {
		for i := range active {
			row := c.Decoder(int(i))
			if float64(dotPlain(want, row))/math.Sqrt(float64(dotPlain(row, row))) > 0.9 {
				found++
				break
			}
		}
	}
	return err2 / all, found
}

// TestTemporalPlanted trains on sequences of slow and new features: attention must predict the slow part, and the novel latents
// must be the new features. An SAE that has not been trained does neither. The run resumes exactly, and the saved SAE does what
// the last steps reported.
func TestTemporalPlanted(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense program needs XLA's TopK")
	}
	s := plantStories(16, 12, 6, 10, 500)
	cfg := DefaultsFor(ArchTemporal)
	cfg.DSAE, cfg.K, cfg.Batch, cfg.Tokens, cfg.LR, cfg.InitRows = 48, 1, 12*20, 12*20*2500, 3e-3, 1200
	cfg.Temporal.Context, cfg.Temporal.Heads, cfg.CheckpointTokens, cfg.Decay = 12, 2, 12*20*2300, 0.2
	cfg, err := cfg.Resolve(16)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := NewMemorySequences(s.x, 16, 12, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Start(graphtest.Backend(t), cfg, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	before, err := tr.SAE()
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
	trained, err := tr.SAE()
	if err != nil {
		t.Fatal(err)
	}
	missed, found := s.judge(t, trained, 40)
	missedBefore, foundBefore := s.judge(t, before, 40)
	t.Logf("FVU %.4f, L0 %.2f; share of the slow part that is not predicted %.3f (untrained %.3f), new features found %d of 10 (untrained %d)", last.FVU, tr.AchievedL0().Mean, missed, missedBefore, found, foundBefore)
	if missed > 0.2 || found < 8 {
		t.Errorf("%.3f of the slow part is not predicted (want 0.2 at most), %d of 10 new features are novel latents (want 8)", missed, found)
	}
	if missedBefore < 2*missed || foundBefore > 3 {
		t.Errorf("an untrained SAE misses %.3f and finds %d: the test is too weak", missedBefore, foundBefore)
	}
	again, err := NewMemorySequences(s.x[:100*12*16], 16, 12, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := trained.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	saved, _, err := ReadCoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	res, err := EvaluateCoder(t.Context(), graphtest.Backend(t), saved, again, 12*16, 0)
	if err != nil {
		t.Fatal(err)
	}
	if res.MSE > 1.2*recent || res.MSE < recent/1.2 || res.Rows != 1200 {
		t.Errorf("the saved SAE's squared error is %v on %d rows, that of the last batches %v", res.MSE, res.Rows, recent)
	}
	resumeCoder(t, tr, whole, half, rows)
}

func TestTemporalConfigErrors(t *testing.T) {
	for field, edit := range map[string]func(*Config){
		"temporal.context":             func(c *Config) { c.Temporal.Context = 1 },
		"batch":                        func(c *Config) { c.Batch = 100 },
		"temporal.heads":               func(c *Config) { c.Temporal.Heads = 3 },
		"temporal.attn_layers":         func(c *Config) { c.Temporal.Layers = 0 },
		"temporal.novel":               func(c *Config) { c.Temporal.Novel = "l1" },
		"decoder":                      func(c *Config) { c.Decoder = DecoderUnit },
		"normalize_activations":        func(c *Config) { c.Normalize = NormalizePerDimension },
		"aux_coef":                     func(c *Config) { c.AuxCoef = 1 },
		"rescale_acts_by_decoder_norm": func(c *Config) { c.RescaleByDecoder = true },
		"resample_tokens":              func(c *Config) { c.ResampleTokens = 100 },
	} {
		c := DefaultsFor(ArchTemporal)
		c.DSAE, c.AuxK = 64, 8
		edit(&c)
		if _, err := c.Resolve(16); err == nil || !strings.Contains(err.Error(), field+" is ") {
			t.Errorf("wrong %s: %v", field, err)
		}
	}
	s := temporalSAE(temporalConfig(nil), newWeights(temporalConfig(nil)))
	if _, err := NewCoderRunner(graphtest.Backend(t), s, 7); err == nil || !strings.Contains(err.Error(), "multiple of the 5 tokens") {
		t.Errorf("a batch of broken sequences: %v", err)
	}
	delete(s.Metadata, contextKey)
	if _, err := NewCoderRunner(graphtest.Backend(t), s, 10); err == nil || !strings.Contains(err.Error(), contextKey) {
		t.Errorf("sequences of unknown length: %v", err)
	}
}

// TestMemorySequences: whole sequences are shuffled, each row of them in its place, and a cursor in the middle of one is kept.
func TestMemorySequences(t *testing.T) {
	data := make([]float32, 30)
	for i := range data {
		data[i] = float32(i)
	}
	rows, err := NewMemorySequences(data, 2, 5, 9, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 60)
	if n, err := rows.Next(got[:14]); n != 7 || err != nil {
		t.Fatal(n, err)
	}
	at, err := rows.State()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := rows.Next(got[14:]); n != 23 || err != nil {
		t.Fatal(n, err)
	}
	seen := map[float32]int{}
	for q := range slices.Chunk(got, 10) {
		seen[q[0]]++
		for j, v := range q {
			if v != q[0]+float32(j) {
				t.Fatalf("a sequence is %v", q)
			}
		}
	}
	if len(seen) != 3 || seen[0] != 2 || seen[10] != 2 || seen[20] != 2 {
		t.Errorf("two epochs have the sequences %v", seen)
	}
	if err := rows.Restore(at); err != nil {
		t.Fatal(err)
	}
	again := make([]float32, 46)
	if n, err := rows.Next(again); n != 23 || err != nil || !slices.Equal(again, got[14:]) {
		t.Errorf("after a restored cursor: %d rows, %v", n, err)
	}
	if _, err := NewMemorySequences(data, 2, 4, 9, 0); err == nil {
		t.Error("sequences that do not fit the data are accepted")
	}
}
