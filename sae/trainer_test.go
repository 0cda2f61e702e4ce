package sae

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// folder keeps checkpoints as a run folder does: each appears by a rename.
type folder struct{ dir, last string }

func (f *folder) save(step int64, write func(dir string) error) error {
	tmp := filepath.Join(f.dir, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if err := write(tmp); err != nil {
		return err
	}
	f.last = filepath.Join(f.dir, strconv.FormatInt(step, 10))
	if err := os.RemoveAll(f.last); err != nil {
		return err
	}
	return os.Rename(tmp, f.last)
}

// finalBytes returns the bytes of the newest checkpoint and of the saved SAE.
func finalBytes(t *testing.T, tr *Trainer, checkpoints folder) []byte {
	t.Helper()
	dir := t.TempDir()
	s, err := tr.SAE()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, path := range []string{
		filepath.Join(checkpoints.last, stateTensors), filepath.Join(checkpoints.last, stateFile),
		filepath.Join(dir, weightsFile), filepath.Join(dir, configFile),
	} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// TestResumeIsExact stops a run at random steps, goes on from the checkpoint in a new trainer with a new data source,
// and wants the bytes of an unbroken run: weights, moments, counters, cursor. AuxK is active for most of it.
func TestResumeIsExact(t *testing.T) {
	b := graphtest.Backend(t)
	for _, engine := range engines(t) {
		if engine == EngineDense {
			continue // differs from xla in its program only; each interruption costs two compilations
		}
		t.Run(engine, func(t *testing.T) {
			cfg := small(t, func(c *Config) { c.Engine = engine })
			data := plant(9, cfg.DIn, 24, 3, 300, 0.05).x
			source := func() *MemoryRows {
				rows, err := NewMemoryRows(data, cfg.DIn, 3, 0)
				if err != nil {
					t.Fatal(err)
				}
				return rows
			}
			whole := folder{dir: t.TempDir()}
			rows := source()
			tr, err := Start(b, cfg, rows)
			if err != nil {
				t.Fatal(err)
			}
			aux := 0
			err = tr.Train(t.Context(), rows, TrainOptions{Save: whole.save, OnStep: func(s StepStats) error {
				if s.AuxLoss > 0 {
					aux++
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			if aux == 0 {
				t.Fatal("no step had dead latents, so that resuming their counters is not tested")
			}
			want := finalBytes(t, tr, whole)

			rng := rand.New(rand.NewPCG(77, 1))
			least, most := 1, 12
			if engine != EngineHybrid {
				least, most = 5, 10 // each new trainer compiles: come to the next checkpoint, at every fifth step
			}
			broken := folder{dir: t.TempDir()}
			rows = source()
			tr, err = Start(b, cfg, rows)
			if err != nil {
				t.Fatal(err)
			}
			kills := 0
			for !tr.Done() {
				stop := errors.New("killed")
				left := least + rng.IntN(most-least+1)
				ctx, cancel := context.WithCancel(t.Context())
				graceful := kills%2 == 1
				err := tr.Train(ctx, rows, TrainOptions{Save: broken.save, OnStep: func(StepStats) error {
					if left--; left > 0 {
						return nil
					}
					if graceful { // as Ctrl-C does
						cancel()
						return nil
					}
					return stop
				}})
				cancel()
				if err == nil {
					break
				}
				if !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				kills++
				tr.Close()
				rows = source()
				if broken.last == "" { // killed before the first checkpoint
					if tr, err = Start(b, cfg, rows); err != nil {
						t.Fatal(err)
					}
					continue
				}
				var cursor []byte
				if tr, cursor, err = ReadCheckpoint(b, broken.last); err != nil {
					t.Fatal(err)
				}
				if err := rows.Restore(cursor); err != nil {
					t.Fatal(err)
				}
			}
			defer tr.Close()
			if kills < 2 {
				t.Fatalf("only %d interruptions", kills)
			}
			if !bytes.Equal(finalBytes(t, tr, broken), want) {
				t.Errorf("after %d interruptions the bytes differ from an unbroken run's", kills)
			}
		})
	}
}

// TestDeterministic wants the same bytes from two runs, one of them on one core.
func TestDeterministic(t *testing.T) {
	b := graphtest.Backend(t)
	var first []float32
	for i := range 2 {
		cfg := small(t, nil)
		data := plant(9, cfg.DIn, 24, 3, 300, 0.05).x
		if i == 1 {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		}
		s, _ := train(t, b, cfg, data)
		if i == 0 {
			first = s.WEnc
			continue
		}
		nearly(t, "W_enc of a second run", s.WEnc, first, 0, 0)
		cfg.Seed = 99
		if other, _ := train(t, b, cfg, data); slices.Equal(other.WEnc, first) {
			t.Error("another seed gives the same weights")
		}
	}
}

// TestDamagedCheckpoint damages a checkpoint in turn in each of its files; the error names the file.
func TestDamagedCheckpoint(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, nil)
	tr, err := NewTrainer(b, cfg, normals(1, cfg.Batch*cfg.DIn))
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	for _, c := range []struct {
		file, want string
		damage     func([]byte) []byte
	}{
		{stateTensors, "damaged", func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw }},
		{stateTensors, "damaged", func(raw []byte) []byte { return raw[:len(raw)-4] }},
		{stateFile, "state.json", func(raw []byte) []byte { return raw[:len(raw)/2] }},
		{stateFile, "k is 1000", func(raw []byte) []byte { return bytes.Replace(raw, []byte(`"k": 4`), []byte(`"k": 1000`), 1) }},
		{stateFile, "W_enc has shape", func(raw []byte) []byte { return bytes.Replace(raw, []byte(`"d_sae": 64`), []byte(`"d_sae": 65`), 1) }},
	} {
		dir := t.TempDir()
		if err := tr.WriteCheckpoint(dir, nil); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, c.file)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, c.damage(raw), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadCheckpoint(b, dir); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s damaged: got %v, want %q", c.file, err, c.want)
		}
	}
}

// TestPlantedFeatures trains on sparse combinations of known directions: nearly all must be found, and an untrained
// SAE must find hardly any.
func TestPlantedFeatures(t *testing.T) {
	b := graphtest.Backend(t)
	p := plant(41, 32, 64, 3, 40_000, 0.02)
	cfg := DefaultConfig()
	cfg.DSAE, cfg.K, cfg.Batch, cfg.Tokens, cfg.LR, cfg.DeadTokens, cfg.Engine = 96, 3, 512, 512*700, 3e-3, 20_000, EngineHybrid
	cfg, err := cfg.Resolve(32)
	if err != nil {
		t.Fatal(err)
	}
	s, last := train(t, b, cfg, p.x)
	got := p.recovered(s, 0.9)
	t.Logf("recovered %.3f of the features, FVU %.4f, dead %d", got, last.FVU, last.Dead)
	if got < 0.9 {
		t.Errorf("recovered %.3f of the planted features with cosine above 0.9, want 0.9", got)
	}
	cfg.Tokens = 1
	untrained, first := train(t, b, cfg, p.x)
	if got := p.recovered(untrained, 0.9); got > 0.2 {
		t.Errorf("an untrained SAE recovers %.3f of the features: the test is too weak", got)
	}
	if last.FVU > 0.3*first.FVU {
		t.Errorf("FVU fell from %v to %v only", first.FVU, last.FVU)
	}

	rows, err := NewMemoryRows(p.x[:5000*32], 32, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Evaluate(t.Context(), b, s, rows, 512, 0)
	if err != nil {
		t.Fatal(err)
	}
	if res.Rows != 5000 || res.FVU > 0.1 || res.L0 > 3 || res.L0 < 2 {
		t.Errorf("evaluation: %d rows, FVU %v, L0 %v", res.Rows, res.FVU, res.L0)
	}
}

// TestAuxKRevives starts with 40 of 64 latents whose encoder is too small to be among the k largest. AuxK brings them
// back; without it they stay dead.
func TestAuxKRevives(t *testing.T) {
	b := graphtest.Backend(t)
	p := plant(43, 16, 64, 3, 8000, 0.02)
	dead := map[float64]int{}
	for _, coef := range []float64{0, 1.0 / 32} {
		cfg := small(t, func(c *Config) { c.AuxCoef, c.Batch, c.Tokens, c.DeadTokens, c.LR = coef, 128, 128*1000, 1000, 3e-3 })
		tr, err := NewTrainer(b, cfg, p.x)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		scaleBy(tr.eng.(*hybrid).p.w.enc[24*cfg.DIn:], 0.02)
		if err := tr.eng.(*hybrid).enc.publish(tr.eng.(*hybrid).p.w); err != nil {
			t.Fatal(err)
		}
		rows, err := NewMemoryRows(p.x, cfg.DIn, 3, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Train(t.Context(), rows, TrainOptions{OnStep: func(s StepStats) error { dead[coef] = s.Dead; return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("dead without AuxK %d, with it %d, of 64", dead[0], dead[1.0/32])
	if dead[0] != 40 || dead[1.0/32] > 20 {
		t.Errorf("dead latents: %d without AuxK (want all 40), %d with it (want at most 20)", dead[0], dead[1.0/32])
	}
}

func TestTrainRefuses(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, nil)
	short, err := NewMemoryRows(normals(1, 100*cfg.DIn), cfg.DIn, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Start(b, cfg, short)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.Train(t.Context(), short, TrainOptions{}); err == nil || !strings.Contains(err.Error(), "ended after 100 of 640 tokens") {
		t.Errorf("data that ends early: %v", err)
	}
	if _, err := tr.Step(make([]float32, 7)); err == nil || !strings.Contains(err.Error(), "7 values") {
		t.Errorf("a batch of the wrong size: %v", err)
	}
	if _, err := NewTrainer(b, cfg, nil); err == nil {
		t.Error("an empty sample is accepted")
	}
}

// TestAuto checks that the engine is chosen and then recorded.
func TestAuto(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) { c.Engine = EngineAuto })
	tr, err := NewTrainer(b, cfg, normals(1, cfg.Batch*cfg.DIn))
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if got := tr.Config().Engine; !slices.Contains(engines(t), got) {
		t.Errorf("auto chose %q, want one of %q", got, engines(t))
	}
}
