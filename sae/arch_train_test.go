package sae

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// archConfig is a resolved configuration of a few thousand weights for d = 16 and the planted data of TestArchitectures.
func archConfig(t *testing.T, arch string, edit func(*Config)) Config {
	t.Helper()
	return small(t, func(c *Config) {
		c.Arch, c.DSAE, c.K, c.Batch, c.Tokens, c.LR, c.Engine = arch, 48, 3, 256, 256*600, 3e-3, EngineAuto
		c.AuxCoef, c.DeadTokens, c.CheckpointTokens = 0, 1<<40, 256*500
		c.Loss, c.SparsityCoef, c.TargetL0 = LossMSE, 0.1, 3
		c.Normalize, c.ThresholdLR = NormalizeExpected, 0.05
		c.JumpReLU.Bandwidth, c.JumpReLU.Init = 0.3, 0.1
		if arch == ArchMatchingPursuit {
			c.Normalize = NormalizeNone
		}
		if c.transcodes() {
			c.Decoder = DecoderFree
		}
		if c.base() == ArchJumpReLU { // a threshold moves by the learning rate at most
			c.Tokens, c.CheckpointTokens = 256*2000, 256*1900
			c.Decoder = DecoderUnit // with a short free decoder the thresholds outrun the pre-activations
		}
		if c.archetypal() {
			c.Decoder = DecoderFree
		}
		if edit != nil {
			edit(c)
		}
		c.Engine = EngineDense // no measurement: it compiles every engine
		if supports(*c, EngineHost) {
			c.Engine = EngineHost
		}
	})
}

// TestArchitectures trains every architecture on planted features, goes on from the checkpoint before the last, and wants
// the bytes of an unbroken run; the saved SAE must do on the data what the last steps reported, keep near the target L0,
// and, for dictionaries, hold most of the planted directions, which an untrained one does not.
func TestArchitectures(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("TopK and the dense programs are for XLA; the Go backend runs the hybrid engine, see TestPlantedFeatures")
	}
	p := plant(51, 16, 24, 3, 20_000, 0.02)
	for _, arch := range trainable {
		if (Config{Arch: arch}).inSites() != 1 || arch == ArchTemporal {
			continue // see TestCrosscoders, TestCLTs and TestTemporalPlanted
		}
		t.Run(arch, func(t *testing.T) { trainArchitecture(t, arch, p) })
	}
}

// expected are the limits of a run of TestArchitectures.
type expected struct{ fvu, recovered float64 }

func expectation(arch string) (expected, string) {
	switch arch {
	case ArchStandard:
		return expected{0.7, 0.9}, "L1 at an L0 below that of the data shrinks activations"
	case ArchTranscoder, ArchSkipTranscoder, ArchJumpReLUTranscoder, ArchJumpReLUSkip, ArchTopKTranscoder, ArchTopKSkipTranscoder:
		return expected{0.75, 0}, "the magnitude of a sum of features is no sum of features"
	case ArchMatryoshka:
		return expected{0.25, 0.4}, "short prefixes keep averages of features"
	}
	return expected{0.3, 0.85}, "the rule"
}

func trainArchitecture(t *testing.T, arch string, p planted) {
	b := graphtest.Backend(t)
	cfg := archConfig(t, arch, nil)
	data := p.x
	if cfg.transcodes() { // the target is no linear function of the input
		data = nil
		for row := range slices.Chunk(p.x, cfg.DIn) {
			back := slices.Clone(row)
			slices.Reverse(back)
			for j, v := range back {
				back[j] = max(v, -v)
			}
			data = append(append(data, row...), back...)
		}
	}
	rows, err := NewMemoryRows(data, cfg.rowWidth(), 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Start(b, cfg, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	before, err := tr.SAE()
	if err != nil {
		t.Fatal(err)
	}
	var half string
	whole := folder{dir: t.TempDir()}
	var first, last StepStats
	var recent float64 // mean squared error of the last steps
	err = tr.Train(t.Context(), rows, TrainOptions{
		Save: func(step int64, write func(string) error) error {
			err := whole.save(step, write)
			if half == "" {
				half = whole.last
			}
			return err
		},
		OnStep: func(s StepStats) error {
			if s.Step == 1 {
				first = s
			}
			last = s
			recent += (s.MSE - recent) / 20
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tr.SAE()
	if err != nil {
		t.Fatal(err)
	}
	l0 := tr.AchievedL0()
	t.Logf("FVU %.4f to %.4f, L0 %.2f [%.2f, %.2f], coefficient %.3g, %d dead, recovered %.2f (untrained %.2f)",
		first.FVU, last.FVU, l0.Mean, l0.Low, l0.High, last.Coef, last.Dead, p.recovered(s, 0.9), p.recovered(before, 0.9))
	want, reason := expectation(arch)
	if last.FVU > want.fvu || last.FVU > 0.7*first.FVU {
		t.Errorf("FVU went from %v to %v, want %v (%s)", first.FVU, last.FVU, want.fvu, reason)
	}
	if math.Abs(l0.Mean-cfg.TargetL0) > 0.2*cfg.TargetL0 {
		t.Errorf("achieved L0 is %v, want %v within a fifth", l0, cfg.TargetL0)
	}
	if !cfg.transcodes() {
		if got := p.recovered(s, 0.9); got < want.recovered {
			t.Errorf("recovered %.2f of the planted features, want %.2f (%s)", got, want.recovered, reason)
		}
		if got := p.recovered(before, 0.9); got > 0.2 {
			t.Errorf("an untrained SAE recovers %.2f: the test is too weak", got)
		}
	}
	compareExport(t, cfg, s, data, recent, l0)
	resumeFrom(t, tr, whole, half, rows)
}

// compareExport saves the SAE, loads it and applies it to raw data: error and L0 must be those of the last steps.
func compareExport(t *testing.T, cfg Config, s *SAE, data []float32, recent float64, l0 L0Interval) {
	t.Helper()
	dir := t.TempDir()
	if err := s.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 2000
	x, y := make([]float32, n*cfg.DIn), make([]float32, n*(cfg.rowWidth()-cfg.DIn))
	split(cfg, data[:n*cfg.rowWidth()], x, y)
	lat, out, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.transcodes() {
		y = x
	}
	var sse float64
	for i, v := range out {
		diff := float64(v) - float64(y[i])
		sse += diff * diff
	}
	if mse := sse / float64(n); mse > 1.2*recent || mse < recent/1.2 {
		t.Errorf("the exported SAE's squared error is %v, that of the last batches %v", mse, recent)
	}
	if got := float64(len(lat.Index)) / float64(n); math.Abs(got-l0.Mean) > 0.1*l0.Mean {
		t.Errorf("the exported SAE's L0 is %v, the last steps' %v", got, l0.Mean)
	}
}

// resumeFrom goes on from a checkpoint and wants the last checkpoint's bytes.
func resumeFrom(t *testing.T, tr *Trainer, whole folder, from string, rows *MemoryRows) {
	t.Helper()
	want := finalBytes(t, tr, whole)
	again, cursor, err := ReadCheckpoint(graphtest.Backend(t), from)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := rows.Restore(cursor); err != nil {
		t.Fatal(err)
	}
	resumed := folder{dir: t.TempDir()}
	if err := again.Train(t.Context(), rows, TrainOptions{Save: resumed.save}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(finalBytes(t, again, resumed), want) {
		t.Error("a resumed run's bytes differ from an unbroken one's")
	}
}
