package sae

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// TestDrawRows wants rows drawn with probabilities proportional to the squared losses, without replacement.
func TestDrawRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sse := []float64{1, 2, 0, 3}
	var first [4]float64
	const n = 20_000
	for range n {
		rows := drawRows(sse, 4, rng)
		if len(rows) != 3 || slices.Contains(rows, 2) {
			t.Fatalf("drew %v; the row without an error must not be", rows)
		}
		first[rows[0]]++
	}
	for i, e := range sse {
		want := n * e * e / 14
		if math.Abs(first[i]-want) > 5*math.Sqrt(want+1) {
			t.Errorf("row %d is first %v times, want %v", i, first[i], want)
		}
	}
}

// TestResampleByHand has two latents of which the second is dead, with W_dec = (1, 0) and (0, 1), b_dec = (1, 1), and two
// rows: (3, 1) is reconstructed without error, (1, 5) is not, so that the dead latent takes its direction.
func TestResampleByHand(t *testing.T) {
	cfg := Config{
		Arch: ArchStandard, DIn: 2, DSAE: 2, Batch: 2, Tokens: 100, Loss: LossMSE, Decoder: DecoderFree, Normalize: NormalizeNone,
		AdamEps: 1e-8, Beta1: 0.9, Beta2: 0.999, AuxK: 1, LpNorm: 1, DeadTokens: 1, ResampleTokens: 2, Engine: EngineDense, LR: 0.1,
	}
	w := weights{enc: []float32{1, 0, 0.5, 0.5}, dec: []float32{1, 0, 0, 1}, bEnc: []float32{0, -9}, bDec: []float32{1, 1}}
	tr := &Trainer{cfg: cfg, step: 1, scaled: []float32{3, 1, 1, 5}}
	if err := tr.open(graphtest.Backend(t), newParams(w.clone())); err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	tr.scaled = []float32{3, 1, 1, 5}
	tr.silent = []int64{0, 2}
	p := tr.params(t)
	for _, m := range []weights{p.m, p.v} {
		for _, x := range m.slices() {
			for i := range x {
				x[i] = 7
			}
		}
	}
	if err := tr.eng.replace(p); err != nil {
		t.Fatal(err)
	}
	n, err := tr.resample([]float64{0, 16})
	if err != nil || n != 1 {
		t.Fatalf("resampled %d, %v", n, err)
	}
	got := tr.params(t)
	nearly(t, "W_dec", got.w.dec, []float32{1, 0, 0, 1}, 0, 1e-6)   // (1, 5) - b_dec = (0, 4), of norm 1, the live row's
	nearly(t, "W_enc", got.w.enc, []float32{1, 0, 0, 0.2}, 0, 1e-6) // a fifth of the live row's norm
	nearly(t, "b_enc", got.w.bEnc, []float32{0, 0}, 0, 0)
	nearly(t, "b_dec", got.w.bDec, []float32{1, 1}, 0, 0)
	nearly(t, "moment of W_enc", got.m.enc, []float32{7, 7, 0, 0}, 0, 0)
	nearly(t, "moment of W_dec", got.v.dec, []float32{7, 7, 0, 0}, 0, 0)
	nearly(t, "moment of b_enc", got.m.bEnc, []float32{7, 0}, 0, 0)
	nearly(t, "moment of b_dec", got.m.bDec, []float32{7, 7}, 0, 0)
	if tr.silent[1] != 0 || tr.born[1] != tr.Tokens() {
		t.Errorf("silent %v, born %v", tr.silent, tr.born)
	}
}

// params are the trainer's parameters, copied.
func (t *Trainer) params(tb testing.TB) params {
	tb.Helper()
	p, err := t.eng.snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	return params{w: p.w.clone(), m: p.m.clone(), v: p.v.clone()}
}

// kill gives the latents from first on a bias, a threshold or a decoder row with which they are never active.
func (t *Trainer) kill(tb testing.TB, first int) {
	tb.Helper()
	p := t.params(tb)
	f := t.cfg.DSAE
	for i := first; i < f; i++ {
		for _, name := range []string{"b_enc", "b_gate"} {
			if b := p.w.named(t.cfg, name); b != nil {
				b[i] = -50
			}
		}
		if t.cfg.Arch == ArchAbsTopK { // for which -50 is large
			p.w.bEnc[i] = 0
			clear(p.w.enc[i*t.cfg.DIn : (i+1)*t.cfg.DIn])
		}
		if t.cfg.Arch == ArchMatchingPursuit {
			d := t.cfg.DIn
			copy(p.w.dec[i*d:(i+1)*d], p.w.dec[:d]) // the first of equal rows is taken
		}
	}
	if err := t.eng.replace(p); err != nil {
		tb.Fatal(err)
	}
}

// TestResample kills most latents of every kind of architecture. Resampling brings them back to life; without it, for which
// two of them stand, they stay dead.
func TestResample(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	b := graphtest.Backend(t)
	for _, arch := range []string{
		ArchStandard, ArchTopK, ArchAbsTopK, ArchBatchTopK, ArchMatryoshka, ArchJumpReLU, ArchGated, ArchMatchingPursuit,
		ArchJumpReLUSkip, ArchTopKTranscoder, ArchTopKCrosscoder, ArchRAJumpReLU,
	} {
		t.Run(arch, func(t *testing.T) {
			dead := [2]int{32, 0}
			for i, every := range []int64{0, 20 * 256} {
				if every == 0 && arch != ArchStandard && arch != ArchTopK {
					continue
				}
				cfg := archConfig(t, arch, func(c *Config) {
					c.Tokens, c.DeadTokens, c.ResampleTokens, c.AuxCoef, c.TargetL0, c.SparsityCoef = 256*120, 256*10, every, 0, 0, 1e-3
					if c.crosses() {
						c.Layers = 2
					}
				})
				p := newPlanted(t, PlantedConfig{Dim: cfg.rowWidth(), Features: 2 * cfg.rowWidth(), Active: 3, Noise: 0.02, Seed: 4})
				tr, err := Start(b, cfg, p)
				if err != nil {
					t.Fatal(err)
				}
				defer tr.Close()
				tr.kill(t, 16)
				resampled := 0
				err = tr.Train(t.Context(), p, TrainOptions{OnStep: func(s StepStats) error {
					dead[i] = s.Dead
					resampled += s.Resampled
					return nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				if (resampled > 0) != (every > 0) {
					t.Errorf("%d latents were resampled with resample_tokens %d", resampled, every)
				}
			}
			t.Logf("dead of %d latents: %d without resampling, %d with it", 48, dead[0], dead[1])
			if dead[0] < 30 || dead[1] > dead[0]/4 {
				t.Errorf("%d dead without resampling (want those of the 32 that were killed), %d with it (want at most a quarter)", dead[0], dead[1])
			}
		})
	}
}

// TestResampleEnds resamples every five of 20 steps: after the last draw five steps are left, although the rate never falls.
func TestResampleEnds(t *testing.T) {
	cfg := small(t, func(c *Config) { c.AuxCoef, c.DeadTokens, c.ResampleTokens, c.Decay = 0, 32, 32*5, 0 })
	p := newPlanted(t, PlantedConfig{Dim: cfg.DIn, Features: 32, Active: 3, Noise: 0.02, Seed: 4})
	tr, err := Start(graphtest.Backend(t), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var drawn []int64
	err = tr.Train(t.Context(), p, TrainOptions{OnStep: func(s StepStats) error {
		if s.Resampled > 0 {
			drawn = append(drawn, s.Step)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int64{5, 10, 15}; !slices.Equal(drawn, want) {
		t.Errorf("resampled at steps %v, want %v", drawn, want)
	}
}

// TestResampleResumes stops a run with resampling between two draws, goes on from the checkpoint, and wants the bytes of the
// unbroken run.
func TestResampleResumes(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) {
		c.AuxCoef, c.DeadTokens, c.ResampleTokens, c.Tokens, c.CheckpointTokens = 0, 96, 32*5, 32*40, 32*13
	})
	p := newPlanted(t, PlantedConfig{Dim: cfg.DIn, Features: 32, Active: 3, Noise: 0.02, Seed: 4})
	tr, err := Start(b, cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var half string
	var drawn []int64
	whole := folder{dir: t.TempDir()}
	err = tr.Train(t.Context(), p, TrainOptions{
		Save: func(step int64, write func(string) error) error {
			err := whole.save(step, write)
			if half == "" {
				half = whole.last
			}
			return err
		},
		OnStep: func(s StepStats) error {
			if s.Resampled > 0 {
				drawn = append(drawn, s.Step)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(drawn) < 2 || drawn[0] > 13 || drawn[len(drawn)-1] <= 13 || drawn[len(drawn)-1] > 32 {
		t.Fatalf("resampled at steps %v; want some before the checkpoint at 13 and after it, and none in the last fifth", drawn)
	}
	want := finalBytes(t, tr, whole)
	again, cursor, err := ReadCheckpoint(b, half)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := p.Restore(cursor); err != nil {
		t.Fatal(err)
	}
	resumed := folder{dir: t.TempDir()}
	if err := again.Train(t.Context(), p, TrainOptions{Save: resumed.save}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(finalBytes(t, again, resumed), want) {
		t.Error("a resumed run's bytes differ from an unbroken one's")
	}
}
