package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/internal/hub"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/vectors"
)

// miniLMCard saves a random direction of MiniLM, or of another model with other digest.
func miniLMCard(t *testing.T, digest string) string {
	t.Helper()
	v := mat.NewDense(1, 384, nil)
	for i := range v.RawMatrix().Data {
		v.Set(0, i, float64(i%7)-3)
	}
	s := &vectors.Saved{Directions: v, Card: vectors.Card{Name: "v", Method: "diff-means", Concept: "c", Site: "blocks.1.hook_resid_post", Layer: 1, Position: "mean", D: 384,
		Model: store.Source{ID: "minilm", Digest: digest}}}
	path, err := s.Save(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEvalEdit: removing a direction from an encoder is scored beside a random one; the model against itself costs nothing; another
// model's vector is refused.
func TestEvalEdit(t *testing.T) {
	graphtest.Model(t, "minilm")
	graphtest.Backend(t)
	if graphtest.IsGo(t) {
		t.Skip("the model is slow on the Go backend")
	}
	path, err := hub.Resolve(t.Context(), "minilm", hub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := model.Inspect(path, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	small := []string{"--documents", "12", "--neighbours", "3", "--max-length", "16", "--batch", "8", "--json"}
	code, out, errs := runCLI(t, append([]string{"eval", "edit", "minilm", "--vector", miniLMCard(t, info.Digest)}, small...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var r editReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[0].Embedding == nil || r.Rows[0].Perplexity != nil || r.Rows[1].Edit != "random control" {
		t.Fatalf("report %s", out)
	}
	for _, row := range r.Rows {
		if c := row.Embedding.Cosine; !(c.Value > 0.9 && c.Value < 1-1e-7) || !(c.Low < c.High) {
			t.Errorf("%s: cosine %+v", row.Edit, c)
		}
	}
	if code, out, errs = runCLI(t, append([]string{"eval", "edit", "minilm", "--edited", "minilm"}, small...)...); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	r = editReport{}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if e := r.Rows[0].Embedding; e.Cosine.Value < 1-1e-6 || e.Neighbours.Value != 1 {
		t.Errorf("the model against itself: %+v", e)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"minilm"}, 2, "--vector or by --edited"},
		{[]string{"minilm", "--vector", "v", "--mode", "flip"}, 2, "use remove or add"},
		{[]string{"minilm", "--edited", "minilm", "--documents", "3"}, 2, "neighbours is 10"},
		{[]string{"minilm", "--vector", miniLMCard(t, "other")}, 1, "of model other"},
	} {
		code, _, errs := runCLI(t, append([]string{"eval", "edit"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, want %d; %s", c.args, code, c.code, errs)
		}
	}
}

// TestVectorsTestCommand: a planted concept passes the test of the command line.
func TestVectorsTestCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.yaml")
	text := fmt.Sprintf("kind: vectors-test\nname: kinds\ndata:\n  store: %s\n  sites: [blocks.0.hook_resid_post]\n  positions: [first]\n  target: {label: kind, positive: sea, by: \"\"}\npermutations: 39\n", labelledStore(t))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "--backend", "go", "vectors", "test", file, "--runs", t.TempDir())
	if code != 0 || !strings.Contains(out, "Holm") || !strings.Contains(out, "true") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// TestVectorsFindAndValidate: wrong uses say what to do, on a model without a tokenizer too.
func TestVectorsFindAndValidate(t *testing.T) {
	folder := tinyFolder(t, "llama-tied")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"find", folder}, 2, "name --concept, --words or --cluster"},
		{[]string{"find", folder, "--concept", "animals", "--alpha", "0"}, 2, "alpha is 0"},
		{[]string{"find", folder, "--concept", "animals"}, 1, "tokenizer"},
		{[]string{"validate", folder}, 2, "--neurons is missing"},
		{[]string{"validate", folder, "--neurons", "3"}, 2, "is not LAYER:NEURON"},
		{[]string{"validate", folder, "--neurons", "0:3", "--concept", "birdy"}, 1, "did you mean \"bird\""},
	} {
		code, _, errs := runCLI(t, append([]string{"--backend", "go", "vectors"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, want %d; %s", c.args, code, c.code, errs)
		}
	}
	words, err := conceptWords("bird")
	if err != nil || len(words) != 16 {
		t.Errorf("words %v, %v", words, err)
	}
	if _, err := conceptWords("birdy"); err == nil || !strings.Contains(err.Error(), "hierarchy: bird, fish") {
		t.Errorf("an unknown concept: %v", err)
	}
}
