package autoencoders

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/config"
)

func TestConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct{ set, want string }{
		"other shape":        {"site=blocks.3.attn.hook_pattern", "[b,t,d]"},
		"unknown site":       {"site=blocks.3.hook_resid_per", "hook_resid_pre"},
		"no held-out text":   {"text.corpus.held_out=0", "between 0 and 1"},
		"no seeds":           {"seeds=[]", "seeds is empty"},
		"no controls":        {"controls.rows=0", "without its control"},
		"texts of a batch":   {"splice.texts=15", "multiple of the batch"},
		"neighbours":         {"splice.neighbours=16", "splice.neighbours"},
		"one latent":         {"explain.latents=1", "at least 2"},
		"unknown key":        {"token=3", "tokens"},
		"no share":           {"explain.cover=0", "share"},
		"too far":            {"text.from_pos=8", "below splice.min_tokens"},
		"tokens of a splice": {"splice.min_tokens=100", "max_length"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load([]config.Kind{Kind()}, config.Input{Path: "quick.yaml", Set: []string{c.set}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ yaml, want string }{
		"no architecture": {"", "architectures is empty"},
		"a control":       {"architectures: [{label: pca, engine: dense}]", "controls"},
		"twice":           {"architectures: [{label: a, engine: dense}, {label: a, engine: dense}]", "called a"},
		"engine auto":     {"architectures: [{label: a}]", "name host"},
		"own size":        {"architectures: [{label: a, engine: dense, d_sae: 12}]", "set once"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(path, []byte("kind: autoencoders\n"+c.yaml+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load([]config.Kind{Kind()}, config.Input{Path: path}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
