package planted

import (
	"slices"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/internal/study"
	"loupe/internal/study/studytest"
	"loupe/sae"
)

// small is a configuration that is trained in a second.
func small(t *testing.T) *Config {
	t.Helper()
	c := DefaultConfig()
	c.Data = DataConfig{Dim: 16, Features: 24, Active: 2, Noise: 0.02}
	c.Widths, c.Goals, c.EvalRows = []int{24, 48}, []float64{0.5, 0.8}, 2048
	for _, arch := range []string{sae.ArchTopK, sae.ArchMatryoshka} {
		a := Architecture{Config: sae.DefaultsFor(arch)}
		a.K, a.Batch, a.Tokens, a.InitRows, a.DeadTokens, a.CheckpointTokens, a.LR, a.Engine = 2, 128, 128*600, 1024, 20_000, 1<<40, 4e-3, sae.EngineHost
		a.Matryoshka.Widths = nil
		c.Architectures = append(c.Architectures, a)
	}
	c.Architectures[1].Label = "nested"
	c.Batch, c.Tokens, c.Prefixes.Of = 128, 128*600, "nested"
	c.Stability = StabilityConfig{Of: []string{"topk"}, Seeds: 2, Width: 24}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return &c
}

func carry(t *testing.T, c *Config) *study.Result {
	t.Helper()
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: "planted", Kind: "planted", Config: []byte("kind: planted\n"), ConfigHash: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Study().Carry(t.Context(), graphtest.Backend(t), c, dir, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestStudy: most features are recovered by training and none without it nor from rows without features; prefixes are ordered;
// two seeds agree more than random directions do, and another run gives the same numbers.
func TestStudy(t *testing.T) {
	c := small(t)
	r := carry(t, c)
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	for _, key := range []string{"topk.x1.", "topk.x2."} {
		if got, untrained := number(key+"recovered"), number(key+"untrained"); got < 0.6 || untrained > 0.1 {
			t.Errorf("%s: recovered %v, untrained %v", key, got, untrained)
		}
		if l0 := number(key + "l0"); l0 > 2 || l0 < 1.9 {
			t.Errorf("%s: L0 %v, want 2", key, l0)
		}
	}
	if got := number("control.recovered"); got > 0.1 {
		t.Errorf("%v of the features come out of rows without features", got)
	}
	if number("prefix.ordered") != 1 {
		t.Error("the prefixes are not ordered")
	}
	if low, mean := number("stability.topk.lowest"), number("stability.topk.mean"); low > mean || mean < 0.7 || mean > 1 {
		t.Errorf("agreement of seeds: lowest %v, mean %v", low, mean)
	}
	if again := carry(t, c); !slices.EqualFunc(again.Metrics, r.Metrics, func(a, b lab.NamedMetric) bool { return a.Name == b.Name && a.Value == b.Value }) {
		t.Error("another run gives other numbers")
	}
}

// TestScrambled keeps every dimension's values and moves them apart.
func TestScrambled(t *testing.T) {
	c := small(t)
	plain, err := c.rows(0)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := c.rows(0)
	if err != nil {
		t.Fatal(err)
	}
	const n, d = 32, 16
	x, y := make([]float32, n*d), make([]float32, n*d)
	if _, err := plain.Next(x); err != nil {
		t.Fatal(err)
	}
	if _, err := (scrambled{moved, d}).Next(y); err != nil {
		t.Fatal(err)
	}
	for j := range d {
		for r := range n {
			if y[(r+j)%n*d+j] != x[r*d+j] {
				t.Fatalf("dimension %d of row %d is not %d rows on", j, r, j)
			}
		}
	}
}

// TestExpectations wants every line of expect.yaml to name a number of config.yaml's run.
func TestExpectations(t *testing.T) {
	loaded, err := config.Load([]config.Kind{Kind()}, config.Input{Path: "config.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	c := loaded.Value.(*Config)
	lines, err := expect.Load("expect.yaml")
	if err != nil || len(lines) == 0 {
		t.Fatal(err, len(lines))
	}
	names := map[string]bool{"control.recovered": true, "prefix.ordered": true}
	for i := range c.Architectures {
		for _, w := range c.Widths {
			for _, measure := range []string{"recovered", "untrained", "l0", "fvu"} {
				names[c.key(&c.Architectures[i], w)+measure] = true
			}
		}
	}
	for _, label := range c.Stability.Of {
		for _, measure := range []string{"lowest", "mean", "highest"} {
			names["stability."+label+"."+measure] = true
		}
	}
	for _, l := range lines {
		if !names[l.Metric] {
			t.Errorf("no number is called %s", l.Metric)
		}
	}
}

// TestValidate refuses what cannot be trained or compared.
func TestValidate(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"goals":                func(c *Config) { c.Goals = c.Goals[:1] },
		"cosine":               func(c *Config) { c.Cosine = 1 },
		"eval_rows":            func(c *Config) { c.EvalRows = 1 },
		"prefixes.draws":       func(c *Config) { c.Prefixes.Draws = 1 },
		"stability.seeds":      func(c *Config) { c.Stability.Seeds = 1 },
		"two architectures":    func(c *Config) { c.Architectures[1].Label = sae.ArchTopK },
		"no architecture is":   func(c *Config) { c.Stability.Of = []string{"gated"} },
		"name one of":          func(c *Config) { c.Prefixes.Of = sae.ArchTopK },
		"planted features":     func(c *Config) { c.Data.Active = 25 },
		"no dictionary of one": func(c *Config) { c.Architectures[0].Arch = sae.ArchTranscoder },
	} {
		c := small(t)
		edit(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}
