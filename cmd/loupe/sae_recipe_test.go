package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/config"
)

// TestRecipeOfArchitecture wants a file that names only an architecture to get that architecture's recipe, and the file's own
// keys to win over it.
func TestRecipeOfArchitecture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := "kind: sae\nstore: s\nsite: blocks.0.hook_resid_post\narch: jumprelu\nclip: 2\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(configKinds(), config.Input{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"beta1": "0", "normalize_activations": "unit_mean_square_norm", "jumprelu.init_l0": "128", "clip": "2", "target_l0": "32"} {
		found := false
		for _, v := range c.Values {
			if v.Key == key || strings.HasSuffix(v.Key, "."+key) {
				found = true
				if got := config.Format(v.Value); got != want {
					t.Errorf("%s is %s (%s), want %s", v.Key, got, v.Source, want)
				}
			}
		}
		if !found {
			t.Errorf("no key %s", key)
		}
	}
}
