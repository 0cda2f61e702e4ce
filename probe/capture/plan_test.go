package capture

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestPlan compares the plan of a corpus that fits one window with the capture itself: every count is the same.
func TestPlan(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 120, 40)
	cfg := f.cfg
	cfg.Sites, cfg.Window = sites("blocks.1.hook_resid_post", "pooler"), 1000
	cfg.SpecialRows = Exclude
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.Store); !os.IsNotExist(err) {
		t.Errorf("a plan left a store: %v", err)
	}
	sum, _ := f.run(t, cfg, RunOptions{})
	e := p.Estimate
	if !p.Exact || e.Tokens != sum.Tokens || e.Rows != sum.Rows || e.Examples != sum.Examples || e.Sequences != sum.Sequences || e.Cells != sum.Cells || e.Padding != sum.Padding {
		t.Errorf("plan %+v\nsummary %+v", e, sum)
	}
	if e.Compiles != f.engine.Compiles() {
		t.Errorf("%d compiles were planned and %d done", e.Compiles, f.engine.Compiles())
	}
	if r := float64(p.Bytes) / float64(sum.Bytes); r < 0.9 || r > 1.1 {
		t.Errorf("%d bytes were planned and %d written", p.Bytes, sum.Bytes)
	}
	if p.Layers != 3 || p.OfLayers != 3 || p.Measured <= 0 || p.Seconds <= 0 || p.PerSecond <= 0 {
		t.Errorf("plan %+v", p)
	}
}

// TestPlanEstimates estimates from one window of several.
func TestPlanEstimates(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 600, 40)
	cfg := f.cfg
	cfg.Sites, cfg.Window = sites("hook_embed"), 8
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum, _ := f.run(t, cfg, RunOptions{})
	if p.Exact || p.Sampled >= 600 || math.Abs(float64(p.Estimate.Tokens)/float64(sum.Tokens)-1) > 0.1 {
		t.Errorf("%d tokens estimated from %d documents, %d in truth", p.Estimate.Tokens, p.Sampled, sum.Tokens)
	}
	cfg.MaxTokens = 3000
	if c, err = f.capture(t, cfg); err != nil {
		t.Fatal(err)
	}
	if p, err = c.Plan(t.Context()); err != nil || p.Estimate.Tokens > 3000 || p.Estimate.Tokens < 2900 {
		t.Errorf("with max_tokens 3000: %d tokens, %v", p.Estimate.Tokens, err)
	}
}

func TestFLOPs(t *testing.T) {
	// 2 layers, d 4, one head of 4, MLP 8: W_Q, W_K, W_V, W_O of 16 and W_in, W_out of 32 weights.
	s := &model.Spec{Layers: 2, DModel: 4, Heads: 1, KVHeads: 1, DHead: 4, DMLP: 8, Vocab: 10, Norm: model.LayerNorm, Place: model.PreNorm}
	for layers, want := range map[int]float64{1: 2*128*15 + 4*15*5*4, 2: 2 * (2*128*15 + 4*15*5*4), 0: 0} {
		if got := flops(s, layers, 3, 5); got != want {
			t.Errorf("%d layers: %v, want %v", layers, got, want)
		}
	}
}

func TestLabels(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 1, 1)
	cfg := f.cfg
	var b strings.Builder
	for i := range maxClasses + 2 {
		b.WriteString(`{"text":"w7","name":"n` + strings.Repeat("x", i) + `","parity":"p"}` + "\n")
	}
	cfg.Corpus.Path = filepath.Join(t.TempDir(), "labels.jsonl")
	if err := os.WriteFile(cfg.Corpus.Path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Corpus.LabelFields, cfg.Sites = []string{"name", "parity"}, sites("hook_embed")
	sum, s := f.run(t, cfg, RunOptions{})
	if !slices.Equal(sum.Labels, []string{"parity"}) || !slices.Equal(sum.LeftOut, []string{"name"}) || !slices.Equal(s.Manifest().Labels, []string{"parity"}) {
		t.Errorf("labels %v, left out %v", sum.Labels, sum.LeftOut)
	}
	cfg.Labels, cfg.Moments.Keep, cfg.Store = []string{"name"}, false, filepath.Join(t.TempDir(), "asked")
	if sum, _ := f.run(t, cfg, RunOptions{}); !slices.Equal(sum.Labels, []string{"name"}) {
		t.Errorf("labels asked for: %v", sum.Labels)
	}
	cfg.Labels = []string{"paritty"}
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), RunOptions{}); err == nil || !strings.Contains(err.Error(), `did you mean "parity"?`) {
		t.Errorf("got %v", err)
	}
}
