package sae

import (
	"math"
	"testing"

	"loupe/internal/graphtest"
)

// TestMeasuredThresholds wants the configured number of active latents in the rows that thresholds were measured on, every
// latent active as often as the others, and about that number in the first step on other rows of the same data.
func TestMeasuredThresholds(t *testing.T) {
	b := graphtest.Backend(t)
	p := newPlanted(t, PlantedConfig{Dim: 32, Features: 64, Active: 4, Noise: 0.05, Seed: 8})
	cfg := DefaultsFor(ArchJumpReLU)
	cfg.DSAE, cfg.Batch, cfg.Tokens, cfg.K, cfg.InitRows, cfg.JumpReLU.InitL0 = 1100, 128, 128*10, 16, 2000, 20 // two blocks
	cfg, err := cfg.Resolve(32)
	if err != nil {
		t.Fatal(err)
	}
	sample := make([]float32, 2000*32)
	if _, err := p.Next(sample); err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrainer(b, cfg, sample)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	s, err := tr.SAE()
	if err != nil {
		t.Fatal(err)
	}
	lat, err := s.Encode(sample)
	if err != nil {
		t.Fatal(err)
	}
	fired := make([]int, cfg.DSAE)
	for _, i := range lat.Index {
		fired[i]++
	}
	want := int(math.Round(2000 * 20 / 1100.0))
	for i, n := range fired { // the folded scale rounds a threshold and its row's score apart
		if n < want-1 || n > want+1 {
			t.Errorf("latent %d is active in %d rows of the sample, want %d", i, n, want)
		}
	}
	if graphtest.IsGo(t) {
		return // no dense programs
	}
	batch := make([]float32, cfg.Batch*32)
	if _, err := p.Next(batch); err != nil {
		t.Fatal(err)
	}
	stats, err := tr.Step(batch)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(stats.L0-20) > 3 {
		t.Errorf("the first step has L0 %v, want 20", stats.L0)
	}
}

// TestInit checks each option of the start against its definition.
func TestInit(t *testing.T) {
	x := []float32{0, 0, 0, 0, 3, 3} // mean (1, 1), geometric median (0, 0)
	base := Config{Arch: ArchTopK, DIn: 2, DSAE: 5, K: 1, Decoder: DecoderFree, InitEncoder: InitTied, InitBDec: InitMedian}
	for _, c := range []struct {
		name       string
		edit       func(*Config)
		dec        float64
		tied       bool
		wantCentre float32
	}{
		{"the default", func(*Config) {}, 1, true, 0},
		{"mean", func(c *Config) { c.InitBDec = InitMean }, 1, true, 1},
		{"zero", func(c *Config) { c.InitBDec = InitZero }, 1, true, 0},
		{"short", func(c *Config) { c.InitDecoderNorm = 0.1 }, 0.1, true, 0},
		{"short, but unit", func(c *Config) { c.InitDecoderNorm, c.Decoder = 0.1, DecoderUnit }, 1, true, 0},
		{"own encoder", func(c *Config) { c.InitEncoder, c.InitDecoderNorm = InitRandom, 0.5 }, 0.5, false, 0},
		{"transcoder", func(c *Config) { c.Arch = ArchTranscoder }, shortRow, false, 0},
	} {
		cfg := base
		c.edit(&cfg)
		w := initialWeights(cfg, x, x)
		for i := range 5 {
			near(t, c.name+": decoder norm", float64(norm2(w.dec[2*i:2*i+2])), c.dec, 1e-5)
			if same := w.enc[2*i] == w.dec[2*i] && w.enc[2*i+1] == w.dec[2*i+1]; same != c.tied {
				t.Errorf("%s: encoder row %d is the decoder's: %v, want %v", c.name, i, same, c.tied)
			}
			if !c.tied {
				near(t, c.name+": encoder norm", float64(norm2(w.enc[2*i:2*i+2])), 1, 1e-5)
			}
		}
		nearly(t, c.name+": b_dec", w.bDec, []float32{c.wantCentre, c.wantCentre}, 0, 1e-4)
	}
}

// TestDecoderPolicies trains some steps with a large rate: unit rows keep norm 1, bounded ones never exceed it, free ones do.
func TestDecoderPolicies(t *testing.T) {
	for _, engine := range engines(t) {
		for _, policy := range []string{DecoderUnit, DecoderBounded, DecoderFree} {
			cfg := small(t, func(c *Config) {
				c.Decoder, c.LR, c.Engine, c.InitDecoderNorm, c.Normalize = policy, 0.1, engine, 0.9, NormalizeNone
			})
			x := normals(9, cfg.Batch*cfg.DIn)
			tr, err := NewTrainer(graphtest.Backend(t), cfg, x)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if _, err := tr.Step(x); err != nil {
					t.Fatal(err)
				}
			}
			least, most := math.Inf(1), 0.0
			w := tr.params(t).w
			for i := range cfg.DSAE {
				n := float64(norm2(w.dec[i*cfg.DIn : (i+1)*cfg.DIn]))
				least, most = min(least, n), max(most, n)
			}
			tr.Close()
			switch {
			case policy == DecoderUnit && (least < 1-1e-5 || most > 1+1e-5),
				policy == DecoderBounded && (most > 1+1e-5 || most < 1-1e-5 || least > 0.95),
				policy == DecoderFree && most < 1.05:
				t.Errorf("%s, %s: norms from %v to %v", engine, policy, least, most)
			}
		}
	}
}
