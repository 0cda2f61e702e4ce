package training

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/config"
)

func kinds() []config.Kind {
	return []config.Kind{{Name: Kind, Doc: "train", New: func() any { c := DefaultConfig(); return &c }}}
}

// load reads a configuration of kind sae.
func load(t testing.TB, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sae.yaml")
	if !strings.Contains(text, "store:") {
		text = "store: s\n" + text
	}
	if err := os.WriteFile(path, []byte("kind: sae\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(kinds(), config.Input{Path: path})
	if err != nil {
		return nil, err
	}
	return c.Value.(*Config), nil
}

func TestMembers(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		want   []string // names
		single bool
	}{
		"single":    {"site: a\nd_sae: 64\nseed: 3\n", []string{"topk-f64-s3-a"}, true},
		"expansion": {"site: a\n", []string{"topk-x16-s0-a"}, true},
		"grid": {"sites: [a, b]\nwidths: [32, 64]\nseeds: [1, 2]\n", []string{
			"topk-f32-s1-a", "topk-f32-s2-a", "topk-f64-s1-a", "topk-f64-s2-a", "topk-f32-s1-b", "topk-f32-s2-b", "topk-f64-s1-b", "topk-f64-s2-b",
		}, false},
		"archs": {"site: a\nd_sae: 64\narchs: [topk, jumprelu]\n", []string{"topk-f64-s0-a", "jumprelu-f64-s0-a"}, false},
		"entries": {"sites: [a, b]\nd_sae: 64\nsaes:\n- {k: 8, label: small}\n- {arch: batchtopk, sites: [c]}\n",
			[]string{"small-f64-s0-a", "small-f64-s0-b", "batchtopk-f64-s0-c"}, false},
		"transcoder": {"site: a\ntarget: b\nd_sae: 64\narch: transcoder\n", []string{"transcoder-f64-s0-a=b"}, true},
		"mixed": {"sites: [a, b]\npairs: [{input: c, target: d}, {input: e, target: f}]\nd_sae: 64\narchs: [topk, topk_transcoder, crosscoder]\n",
			[]string{"topk-f64-s0-a", "topk-f64-s0-b", "topk_transcoder-f64-s0-c=d", "topk_transcoder-f64-s0-e=f", "crosscoder-f64-s0-a+1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, c.text)
			if err != nil {
				t.Fatal(err)
			}
			members, err := cfg.members()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range members {
				got = append(got, m.Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
			if cfg.single() != c.single {
				t.Errorf("single is %v", cfg.single())
			}
		})
	}
}

// TestRecipes wants each architecture of a list to have its own recipe, and what the file gives to win over it.
func TestRecipes(t *testing.T) {
	cfg, err := load(t, "site: a\nlr: 1e-3\narchs: [topk, gated]\nsaes: []\nbeta2: 0.9\n")
	if err != nil {
		t.Fatal(err)
	}
	members, err := cfg.members()
	if err != nil {
		t.Fatal(err)
	}
	topk, gated := members[0].Config, members[1].Config
	if topk.Beta1 != 0.9 || gated.Beta1 != 0 || gated.Normalize == topk.Normalize || gated.Arch != "gated" {
		t.Errorf("topk has beta1 %v and %s, gated %v and %s; want each one's recipe", topk.Beta1, topk.Normalize, gated.Beta1, gated.Normalize)
	}
	if topk.LR != 1e-3 || gated.LR != 1e-3 || topk.Beta2 != 0.9 || gated.Beta2 != 0.9 {
		t.Errorf("lr %v and %v, beta2 %v and %v; want those of the file", topk.LR, gated.LR, topk.Beta2, gated.Beta2)
	}
}

func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		"d_sae: 64\n":                                         "site is not set",
		"site: a\nsites: [b]\n":                               "site a and sites [b] are both set",
		"site: a\ntarget: b\n":                                "target b is set, and topk writes the site it reads",
		"sites: [a]\narch: transcoder\n":                      "name them in pairs",
		"target: a\narch: transcoder\n":                       "name the site to read",
		"sites: [a]\npairs: [{input: a}]\narch: transcoder\n": "pairs.0 has input",
		"sites: [a]\npairs: [{input: a, target: b}]\n":        "no architecture is a transcoder",
		"site: a\nd_sae: 3\nwidths: [4]\n":                    "both set; keep one",
		"site: a\nseeds: [1, 1]\n":                            "two SAEs are called topk-x16-s1-a",
		"site: a\nsaes: [{k: 1}, {k: 2}]\n":                   "different labels",
		"site: a\nsaes: [{k: 1}, {sites: [b]}]\n":             "saes.1: site a and sites [b]",
		"site: a\narchs: [topk]\nsaes: [{k: 1}]\n":            "archs and saes are both set",
		"site: a\narchs: [topq]\n":                            "topk",
		"site: a\neval_tokens: -1\n":                          "eval_tokens is -1",
		"site: a\narch: temporal\nsubsample: 0.1\n":           "reads whole sequences",
		"site: a\nsubsample: 2\n":                             "subsample is 2",
		"site: a\nclass_weights: [{class: x, weight: 1}]\n":   "class_weights.0",
		"site: a\nstore: \"\"\nmodel: m\nsubsample: 0.1\n":    "need a store",
		"site: a\nmodel: m\n":                                 "store s and model m are both set",
		"site: a\nstore: \"\"\n":                              "store is not set",
		"site: a\nstore: \"\"\nmodel: m\nbuffer: 0\n":         "buffer is 0",
		"site: a\nstore: \"\"\nmodel: m\noverflow: wrap\n":    "overflow",
		"site: a\nmetrics_every: 0\n":                         "metrics_every is 0",
		"site: a\nsaes: [{kk: 1}]\n":                          `"saes.0.kk"`,
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
