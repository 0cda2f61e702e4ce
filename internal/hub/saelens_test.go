package hub

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testRegistry = `
gemma-scope-2b-pt-res:
  conversion_func: gemma_2
  model: gemma-2-2b
  repo_id: google/gemma-scope-2b-pt-res
  saes:
  - id: layer_0/width_16k/canonical
    path: layer_0/width_16k/average_l0_105
    l0: 105
  - id: layer_1/width_16k/canonical
    path: layer_1/width_16k/average_l0_102
llama_scope_lxr_8x:
  conversion_func: llama_scope
  model: meta-llama/Llama-3.1-8B
  repo_id: fnlp/Llama3_1-8B-Base-LXR-8x
  config_overrides:
    model_from_pretrained_kwargs:
      center_writing_weights: true
  saes:
  - id: l0r_8x
    path: Llama3_1-8B-Base-L0R-8x
    norm_scaling_factor: 58.9
    neuronpedia: llama3.1-8b/0-llamascope-res-32k
own:
  conversion_func: null
  model: gpt2-small
  repo_id: org/name
  saes: [{id: a, path: ../../etc}, {id: b, path: b}]
evil:
  model: m
  repo_id: ../etc
  saes: [{id: a, path: a}]
`

// TestFindSAELens: names of the registry become repositories and folders; unknown names offer near ones; nothing leaves the cache.
func TestFindSAELens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "registry.yaml")
	if err := os.WriteFile(file, []byte(testRegistry), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(RegistryVar, file)
	got, err := FindSAELens(t.Context(), "saelens:gemma-scope-2b-pt-res/layer_0/width_16k/canonical", Options{Offline: true})
	if err != nil || got.Ref() != "hf:google/gemma-scope-2b-pt-res/layer_0/width_16k/average_l0_105" || got.Loader != "gemma_2" || got.Model != "gemma-2-2b" || got.Scale != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = FindSAELens(t.Context(), "saelens:llama_scope_lxr_8x/l0r_8x", Options{})
	if err != nil || got.Scale != 58.9 || got.Overrides["model_from_pretrained_kwargs"] == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = FindSAELens(t.Context(), "saelens:own/b", Options{}); err != nil || got.Loader != "" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, want := range map[string]struct {
		err  error
		says string
	}{
		"saelens:gemma-scope-2b-pt-rez/x":                          {ErrNotFound, `"gemma-scope-2b-pt-res"`},
		"saelens:gemma-scope-2b-pt-res/layer_0/width_16k/canonicl": {ErrNotFound, "canonical"},
		"saelens:gemma-scope-2b-pt-res":                            {ErrRef, "RELEASE/ID"},
		"saelens:/x":                                               {ErrRef, "RELEASE/ID"},
		"saelens:own/a":                                            {errLeaves, "etc"},
		"saelens:evil/a":                                           {ErrRef, "org/name"},
	} {
		if _, err := FindSAELens(t.Context(), name, Options{}); !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSAELensRegistry is fetched once, not at all without a network, and never in part.
func TestSAELensRegistry(t *testing.T) {
	t.Setenv("LOUPE_HOME", t.TempDir())
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv(RegistryVar, "")
	asked, short := 0, true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		if short {
			w.Header().Set("Content-Length", "100000")
		}
		_, _ = w.Write([]byte(testRegistry))
	}))
	defer srv.Close()
	opt := Options{registry: srv.URL}
	if _, err := FindSAELens(t.Context(), "saelens:own/b", Options{Offline: true, registry: srv.URL}); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "network is off") || asked != 0 {
		t.Errorf("offline: %v, asked %d times", err, asked)
	}
	if _, err := FindSAELens(t.Context(), "saelens:own/b", opt); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "cannot be fetched") {
		t.Errorf("a cut registry: %v", err)
	}
	short = false
	for range 2 {
		if _, err := FindSAELens(t.Context(), "saelens:own/b", opt); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want once after the cut one", asked)
	}
	t.Setenv("LOUPE_HOME", t.TempDir())
	srv.Close()
	if _, err := FindSAELens(t.Context(), "saelens:own/b", opt); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "hf:org/name/folder") {
		t.Errorf("no network: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FindSAELens(ctx, "saelens:own/b", opt); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// FuzzFindSAELens: any bytes give an entry whose repository and path stay inside, or an error.
func FuzzFindSAELens(f *testing.F) {
	f.Add([]byte(testRegistry), "own", "b")
	f.Add([]byte("a: &a [*a]"), "a", "b")
	f.Fuzz(func(t *testing.T, raw []byte, release, id string) {
		p, err := findSAELens(raw, release, id)
		if err == nil && (!filepath.IsLocal(p.Path) || strings.Contains(p.Repo, "..")) {
			t.Errorf("%+v", p)
		}
	})
}
