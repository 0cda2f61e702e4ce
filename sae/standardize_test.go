package sae

import (
	"math"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// TestStandardizerByHand: columns (1, 3) and (5, 5) have means 2 and 5 and deviations 1 and 0, which stays 1.
func TestStandardizerByHand(t *testing.T) {
	x := []float32{1, 5, 3, 5}
	s := newStandardizer(x, 2)
	nearly(t, "mean", s.mean, []float32{2, 5}, 0, 0)
	nearly(t, "deviation", s.sd, []float32{1, 1}, 0, 0)
	s.apply(x)
	nearly(t, "rows", x, []float32{-1, 0, 1, 0}, 0, 0)
}

// lopsided returns rows whose dimensions have very different means and spreads.
func lopsided(seed uint64, n, d int) []float32 {
	x := normals(seed, n*d)
	for i := range x {
		j := float64(i % d)
		x[i] = float32(float64(x[i])*math.Exp(j/4-1) + 20*math.Sin(j))
	}
	return x
}

// TestFoldStandard trains some steps on standardised data and wants the saved SAE to do on raw rows what the trained weights
// do on standardised ones: the same latents and, back in raw units, the same output.
func TestFoldStandard(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	for _, c := range []struct {
		arch    string
		rescale bool
	}{
		{ArchStandard, false}, {ArchTopK, false}, {ArchTopK, true}, {ArchBatchTopK, false}, {ArchBatchTopK, true}, {ArchJumpReLU, false},
		{ArchGated, false}, {ArchJumpReLUSkip, false}, {ArchTopKTranscoder, false},
	} {
		cfg := small(t, func(cfg *Config) {
			cfg.Arch, cfg.RescaleByDecoder, cfg.Normalize, cfg.Decoder = c.arch, c.rescale, NormalizePerDimension, DecoderFree
			cfg.Engine, cfg.ThresholdLR, cfg.LR = EngineDense, 1, 0.01
			if cfg.transcodes() {
				cfg.DOut = 8
			}
			if supports(*cfg, EngineHybrid) {
				cfg.Engine = EngineHybrid
			}
		})
		n, d, w := cfg.Batch, cfg.DIn, cfg.width()
		raw := lopsided(5, n, cfg.rowWidth())
		tr, err := NewTrainer(graphtest.Backend(t), cfg, raw)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		for range 3 {
			if _, err := tr.Step(raw); err != nil {
				t.Fatal(err)
			}
		}
		x, y := make([]float32, n*d), make([]float32, n*(cfg.rowWidth()-d))
		split(cfg, raw, x, y)
		folded, err := tr.SAE()
		if err != nil {
			t.Fatal(err)
		}
		got, gotOut, err := folded.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		inner := exported(cfg, tr.params(t).w)
		if cfg.byBatch() { // as in training, with the running threshold
			inner.Arch = ArchStandard
			if err := inner.batchTopKToJumpReLU(float32(tr.threshold[0])); err != nil {
				t.Fatal(err)
			}
		}
		z := slices.Clone(x)
		tr.standard.apply(z)
		want, wantOut, err := inner.Reconstruct(z)
		if err != nil {
			t.Fatal(err)
		}
		for i := range wantOut {
			wantOut[i] = wantOut[i]*tr.outStandard.sd[i%w] + tr.outStandard.mean[i%w]
		}
		if len(want.Index) == 0 || !slices.Equal(got.Start, want.Start) || !slices.Equal(sortedRows(got), sortedRows(want)) {
			t.Errorf("%s, rescale %v: the folded SAE has other latents", c.arch, c.rescale)
			continue
		}
		nearly(t, c.arch+" output", gotOut, wantOut, 1e-4, 1e-3) // outputs of about 20 with a mean that cancels in the product
		if c.rescale && c.arch == ArchBatchTopK {
			for i := range cfg.DSAE {
				if n := norm2(folded.Decoder(i)); math.Abs(float64(n)-1) > 1e-5 {
					t.Errorf("decoder row %d has norm %v after the fold", i, n)
				}
			}
		}
	}
}

// sortedRows returns the indices of every row in rising order.
func sortedRows(l Latents) []int32 {
	var out []int32
	for r := range l.Rows() {
		index, _ := l.Row(r)
		row := slices.Clone(index)
		slices.Sort(row)
		out = append(out, row...)
	}
	return out
}

// TestStandardResumes wants the means and deviations in the checkpoint.
func TestStandardResumes(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) { c.Normalize = NormalizePerDimension })
	x := lopsided(6, cfg.Batch, cfg.DIn)
	tr, err := NewTrainer(b, cfg, x)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	dir := t.TempDir()
	if err := tr.WriteCheckpoint(dir, nil); err != nil {
		t.Fatal(err)
	}
	again, _, err := ReadCheckpoint(b, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	want, err := tr.Step(x)
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.Step(x)
	if err != nil {
		t.Fatal(err)
	}
	if got.Loss != want.Loss || !(got.FVU < 2) {
		t.Errorf("loss %v after a checkpoint, want %v; FVU %v", got.Loss, want.Loss, got.FVU)
	}
}
