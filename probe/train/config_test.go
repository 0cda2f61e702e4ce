package train

import (
	"math"
	"slices"
	"strings"
	"testing"

	"loupe/probe/model"
)

// TestRate: schedules at lr 1 by hand.
func TestRate(t *testing.T) {
	cfg := DefaultConfig()
	cfg.LR, cfg.Steps, cfg.Warmup = 1, 6, 2
	for schedule, want := range map[string][]float64{
		ScheduleConstant: {.5, 1, 1, 1, 1, 1},
		ScheduleLinear:   {.5, 1, 1, .75, .5, .25},
		ScheduleCosine:   {.5, 1, 1, (1 + math.Sqrt2/2) / 2, .5, (1 - math.Sqrt2/2) / 2},
	} {
		cfg.Schedule = schedule
		if err := cfg.Validate(); err != nil {
			t.Error(err)
		}
		for i, w := range want {
			if got := cfg.Rate(i + 1); math.Abs(got-w) > 1e-12 {
				t.Errorf("%s, step %d: %v, want %v", schedule, i+1, got, w)
			}
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for word, change := range map[string]func(*Config){
		"steps": func(c *Config) { c.Steps = -1 }, "lr": func(c *Config) { c.LR = math.NaN() }, "schedule": func(c *Config) { c.Schedule = "step" },
		"warmup": func(c *Config) { c.Warmup = -1 }, "beta1": func(c *Config) { c.Beta1 = 1 }, "eps": func(c *Config) { c.Eps = 0 },
		"weight_decay": func(c *Config) { c.WeightDecay = 1e4 }, "clip_norm": func(c *Config) { c.ClipNorm = -1 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: error %v", word, err)
		}
	}
}

// TestSubset: patterns over canonical and longer names, in the Spec's order; what matches nothing is an error.
func TestSubset(t *testing.T) {
	s := model.GPT2Small()
	s.Layers = 2
	for _, c := range []struct {
		patterns []string
		want     string
	}{
		{[]string{"*.W_E", "blocks.last.mlp.*"}, "W_E blocks.1.W_in blocks.1.b_in blocks.1.W_out blocks.1.b_out"},
		{[]string{"blocks.0.attn.W_*", "blocks.0.W_Q"}, "blocks.0.W_Q blocks.0.W_K blocks.0.W_V blocks.0.W_O"},
		{[]string{"blocks.*.ln1.b"}, "blocks.0.ln1.b blocks.1.ln1.b"},
	} {
		got, err := Subset(s, c.patterns...)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, %v", c.patterns, got, err)
		}
	}
	got, err := Subset(s, "all")
	if err != nil || len(got) != len(s.Params()) || !slices.Contains(got, "blocks.1.W_K") {
		t.Errorf("all: %d of %d, %v", len(got), len(s.Params()), err)
	}
	for _, patterns := range [][]string{{"all", "blocks.2.*"}, {"blocks.*.W_gate"}, {"["}, {}} {
		if got, err := Subset(s, patterns...); err == nil {
			t.Errorf("%v: %v", patterns, got)
		}
	}
}
