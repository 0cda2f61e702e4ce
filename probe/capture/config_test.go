package capture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/graphtest"
	"loupe/probe/text"
)

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	good.Sites, good.Store = sites("hook_embed"), "s"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"model is empty":               func(c *Config) { c.Model = "" },
		"weights is int8":              func(c *Config) { c.Weights = "int8" },
		"store is empty":               func(c *Config) { c.Store = "" },
		"sites is empty":               func(c *Config) { c.Sites = nil },
		"overflow is wrap":             func(c *Config) { c.Overflow = "wrap" },
		"max_length is -1":             func(c *Config) { c.MaxLength = -1 },
		"batch_tokens is 0":            func(c *Config) { c.BatchTokens = 0 },
		"window is 0":                  func(c *Config) { c.Window = 0 },
		"max_tokens is -5":             func(c *Config) { c.MaxTokens = -5 },
		"bos is append":                func(c *Config) { c.BOS = "append" },
		"special_rows is drop":         func(c *Config) { c.SpecialRows = "drop" },
		"switch packing off":           func(c *Config) { c.Chat, c.Packing = true, true },
		"a chat template sets its own": func(c *Config) { c.Chat, c.BOS = true, BOSPrepend },
		"packed documents go on":       func(c *Config) { c.Packing, c.Overflow = true, Refuse },
		"leave buckets out":            func(c *Config) { c.Packing, c.Buckets = true, []int{8} },
		"shard_bytes is 0":             func(c *Config) { c.ShardBytes = 0 },
		"buckets is [8 8]":             func(c *Config) { c.Buckets = []int{8, 8} },
		"buckets is [0]":               func(c *Config) { c.Buckets = []int{0} },
		"sites.0: site is empty":       func(c *Config) { c.Sites = sites("") },
		`sites.0: reduce is "max"`:     func(c *Config) { c.Sites = sites("hook_embed@max") },
		`sites.0: dtype is "int8"`:     func(c *Config) { c.Sites = []SiteConfig{{Site: "hook_embed", Reduce: Tokens, DType: "int8"}} },
		"sites.0: scale is 2": func(c *Config) {
			c.Sites = []SiteConfig{{Site: "hook_embed", Reduce: Tokens, DType: "float32", Scale: 2}}
		},
		`text: corpus kind "goroots" is unknown`: func(c *Config) { c.Corpus.Kind = "goroots" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestConfigFile loads a file as the command line does.
func TestConfigFile(t *testing.T) {
	kinds := []config.Kind{{Name: Kind, Doc: "capture", New: func() any { c := DefaultConfig(); return &c }}}
	path := filepath.Join(t.TempDir(), "capture.yaml")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("kind: capture\nstore: out\ncorpus: {kind: neutral, neutral_number: 7}\nsites:\n  - site: blocks.*.hook_resid_post\n    dtype: float16\n  - site: sentence\nmoments: {keep: false}\n")
	c, err := config.Load(kinds, config.Input{Path: path, Set: []string{"max_length=64", "sites.1.reduce=tokens"}})
	if err != nil {
		t.Fatal(err)
	}
	got := *c.Value.(*Config)
	if got.Sites[0] != (SiteConfig{Site: "blocks.*.hook_resid_post", Reduce: Tokens, DType: "float16"}) || got.Sites[1] != (SiteConfig{Site: "sentence", Reduce: Tokens, DType: "float32"}) {
		t.Errorf("sites %+v", got.Sites)
	}
	if got.MaxLength != 64 || got.Moments.Keep || got.Moments.MaxCross != 2048 || got.Corpus.Kind != text.KindNeutral || got.Corpus.NeutralNumber != 7 || !got.AddSpecial {
		t.Errorf("got %+v", got)
	}
	write("kind: capture\nstore: out\nsites: [{site: hook_embed, reduction: mean}]\n")
	if _, err := config.Load(kinds, config.Input{Path: path}); err == nil || !strings.Contains(err.Error(), "reduce") {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestNewErrors(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 2, 3)
	for want, change := range map[string]func(*Config){
		"max_length 41 is more than this bert model's 40 positions": func(c *Config) { c.MaxLength = 41 },
		"the largest bucket has 16 tokens and max_length is 40":     func(c *Config) { c.Buckets = []int{8, 16} },
		"overflow: split makes several sequences of one":            func(c *Config) { c.Sites, c.Overflow = sites("pooler"), Split },
		"max_length 1 leaves no room beside 2 special tokens":       func(c *Config) { c.MaxLength = 1 },
		"capture: chat: token: chat: no chat template":              func(c *Config) { c.Chat = true },
	} {
		cfg := f.cfg
		cfg.Sites = sites("hook_embed")
		change(&cfg)
		if _, err := f.capture(t, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
