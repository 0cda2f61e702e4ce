package sae

import (
	"math"
	"strings"
	"testing"
)

func TestConfigRules(t *testing.T) {
	c, err := DefaultConfig().Resolve(384)
	if err != nil {
		t.Fatal(err)
	}
	if c.DSAE != 6144 || c.AuxK != 256 || math.Abs(c.LR-2e-4*math.Sqrt(16384.0/6144)) > 1e-12 {
		t.Errorf("d_sae %d, aux_k %d, lr %v; want 6144, 256, 2e-4 sqrt(16384/6144)", c.DSAE, c.AuxK, c.LR)
	}
	c.Tokens, c.Batch = 1001, 100
	if c.Steps() != 11 {
		t.Errorf("%d steps for 1001 tokens in batches of 100, want 11", c.Steps())
	}
	for n, want := range map[int]int{0: 1, 1: 1, 3: 4, 5: 4, 6: 8, 192: 256, 191: 128, 384: 512} {
		if got := nearestPowerOfTwo(n); got != want {
			t.Errorf("power of two nearest to %d: %d, want %d", n, got, want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for field, edit := range map[string]func(*Config){
		"d_in":                  func(c *Config) { c.DIn = 17 },
		"d_sae":                 func(c *Config) { c.DSAE = -1 },
		"k":                     func(c *Config) { c.K = 65 },
		"tokens":                func(c *Config) { c.Tokens = 0 },
		"batch":                 func(c *Config) { c.Batch = 0 },
		"lr":                    func(c *Config) { c.LR = math.NaN() },
		"warmup":                func(c *Config) { c.Warmup = -0.1 },
		"decay":                 func(c *Config) { c.Warmup, c.Decay = 0.6, 0.5 },
		"beta1":                 func(c *Config) { c.Beta1 = 1 },
		"beta2":                 func(c *Config) { c.Beta2 = -1 },
		"adam_eps":              func(c *Config) { c.AdamEps = 0 },
		"clip":                  func(c *Config) { c.Clip = math.NaN() },
		"aux_k":                 func(c *Config) { c.AuxK = 65 },
		"aux_coef":              func(c *Config) { c.AuxCoef = math.Inf(1) },
		"dead_tokens":           func(c *Config) { c.DeadTokens = -1 },
		"init_rows":             func(c *Config) { c.InitRows = 0 },
		"checkpoint_tokens":     func(c *Config) { c.CheckpointTokens = 0 },
		"arch":                  func(c *Config) { c.Arch = "topq" },
		"loss":                  func(c *Config) { c.Loss = "mae" },
		"normalize_activations": func(c *Config) { c.Normalize = "batch" },
		"decoder":               func(c *Config) { c.Decoder = "" },
		"engine":                func(c *Config) { c.Engine = "gpu" },
	} {
		c := DefaultConfig()
		c.DSAE, c.AuxK = 64, 8
		edit(&c)
		wantFieldError(t, c, field)
	}
}

// wantFieldError wants a configuration for d = 16 refused because of a field.
func wantFieldError(t *testing.T, c Config, field string) {
	t.Helper()
	if _, err := c.Resolve(16); err == nil || !strings.Contains(err.Error(), field+" is ") {
		t.Errorf("wrong %s: %v", field, err)
	}
}

// TestDecoupledCrosscoders refuses a selection for each site where latents are selected once: what is trained could not be
// saved.
func TestDecoupledCrosscoders(t *testing.T) {
	for arch, can := range map[string]bool{
		ArchCrosscoder: true, ArchBatchTopKCrosscoder: true, ArchTopKCrosscoder: false, ArchJumpReLUCrosscoder: false,
	} {
		c := DefaultsFor(arch)
		c.DSAE, c.AuxK, c.Layers, c.Crosscoder.Norm = 64, 8, 2, CodeNormDecoupled
		if !can {
			wantFieldError(t, c, "crosscoder.norm")
		} else if _, err := c.Resolve(16); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
	}
}
