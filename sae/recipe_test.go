package sae

import "testing"

// TestDefaultsFor wants a valid recipe for every architecture that differs from the one of TopK where the papers do.
func TestDefaultsFor(t *testing.T) {
	for _, arch := range trainable {
		c := DefaultsFor(arch)
		c.DSAE = 1024
		c.Layers = c.inSites()
		if c.Layers == 0 {
			c.Layers = 2
		}
		got, err := c.Resolve(c.Layers * 64)
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		if got.Arch != arch || got.LR <= 0 {
			t.Errorf("%s: architecture %s, rate %v", arch, got.Arch, got.LR)
		}
	}
	jump, topk := DefaultsFor(ArchJumpReLU), DefaultsFor(ArchTopK)
	if topk.Beta1 != 0.9 || topk.Loss != LossFVU || topk.Normalize != NormalizeExpected {
		t.Errorf("topk: %+v", topk)
	}
	if jump.Beta1 != 0 || jump.Loss != LossMSE || jump.Normalize != NormalizeUnit || jump.JumpReLU.Bandwidth != 0 || jump.JumpReLU.InitL0 != 128 || jump.TargetL0 != 32 {
		t.Errorf("jumprelu: %+v", jump)
	}
	jump.JumpReLU.Sparsity = SparsityTanh
	jump.DeriveDefaults()
	if jump.JumpReLU.Bandwidth != 2 || jump.Decoder != DecoderFree || jump.SparsityWarmup != 1 {
		t.Errorf("jumprelu with tanh: %+v", jump)
	}
}

// TestDefaultRate follows the rule on paper: TopK by the width, the others by the paper's rate or by the length of a short
// run.
func TestDefaultRate(t *testing.T) {
	for _, c := range []struct {
		arch   string
		tokens int64
		want   float64
	}{
		{ArchTopK, 4096 * 1000, 2e-4 * 4},       // sqrt(16384 / 1024) = 4
		{ArchStandard, 4096 * 1_000_000, 5e-5},  // the paper's
		{ArchStandard, 4096 * 10_000, 4e-4},     // 4 / 10,000
		{ArchJumpReLU, 4096 * 100, 3e-3},        // the most
		{ArchGated, 4096 * 40_000, 3e-4},        // above 8 / 40,000
		{ArchJumpReLUSkip, 4096 * 40_000, 1e-4}, // as jumprelu
	} {
		cfg := DefaultsFor(c.arch)
		cfg.DSAE, cfg.Tokens = 1024, c.tokens
		cfg, err := cfg.Resolve(64)
		if err != nil {
			t.Fatal(err)
		}
		near(t, c.arch+" rate", cfg.LR, c.want, 1e-12)
	}
}

// TestUnitScale trains a step on activations scaled to mean squared norm 1; the saved SAE takes raw ones.
func TestUnitScale(t *testing.T) {
	x := []float32{3, 4, 0, 0, 0, 12, 5, 0} // squared norms 25 and 169
	got := siteScales(Config{Normalize: NormalizeUnit}, x, 1, 4)
	near(t, "scale", got[0]*got[0], 2.0/(25+169), 1e-12)
	got = siteScales(Config{Normalize: NormalizeExpected}, x, 1, 4)
	near(t, "scale", got[0], 2*2.0/(5+13), 1e-12)
}

// TestDefaultBandwidth follows the rule on paper, in the units of the normalised activations.
func TestDefaultBandwidth(t *testing.T) {
	for _, c := range []struct {
		arch   string
		tokens int64
		want   float64
	}{
		{ArchJumpReLU, 4e9, 0.001}, {ArchJumpReLU, 4e6, 0.1}, {ArchJumpReLU, 1e5, 0.1}, {ArchJumpReLU, 4e7, 0.01},
		{ArchRAJumpReLU, 4e6, 0.8}, // sqrt(64) times as much
	} {
		cfg := DefaultsFor(c.arch)
		cfg.DSAE, cfg.Tokens = 1024, c.tokens
		cfg, err := cfg.Resolve(64)
		if err != nil {
			t.Fatal(err)
		}
		near(t, c.arch+" bandwidth", cfg.JumpReLU.Bandwidth, c.want, 1e-12)
	}
}
