package sae

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/gguf"
	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/token"
)

// topics are three latents that a person would describe at once.
func topics() []Described {
	neutral := []string{"He signed the form yesterday.", "The number is larger than nine.", "They could not agree on the date.", "It was a plain wooden table."}
	return []Described{
		{0, "cooking and food", []string{"Chop the onions and fry them in butter.", "The soup needs more salt.", "Bake the bread for an hour.", "She ate a bowl of rice."}, neutral},
		{1, "the weather", []string{"Heavy rain is expected tonight.", "A cold wind blew from the north.", "The sky is clear and sunny.", "Snow fell on the hills."}, neutral},
		{2, "music", []string{"The violin is out of tune.", "They sang a quiet song.", "The band played all night.", "He practised the piano sonata."}, neutral},
	}
}

// TestDescriptionsWithMiniLM: a real encoder tells what plain descriptions mean, and not by descriptions of something else.
func TestDescriptionsWithMiniLM(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the pure Go backend is too slow for a real model")
	}
	dir := graphtest.Model(t, "minilm")
	e := spliceEngine(t)
	m, err := model.Load(t.Context(), e.Backend(), dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ScoreByEmbedding(t.Context(), TextModel{e, m, tok, 4, 16}, topics(), percentile(200))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("AUC %.3f, control %.3f", r.AUC.Value, r.Control.Value)
	if r.AUC.Value < 0.9 || r.Gain.Value < 0.2 {
		t.Errorf("%+v", r)
	}
}

// TestDescriptionsWithSmolLM2: the same by the likelihoods of a language model, which also finds Paris likelier than purple.
func TestDescriptionsWithSmolLM2(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the pure Go backend is too slow for a real model")
	}
	files, err := filepath.Glob(filepath.Join(graphtest.Model(t, "smollm2"), "*.gguf"))
	if err != nil || len(files) != 1 {
		graphtest.Skip(t, "no single GGUF file: %v", err)
	}
	meta, err := gguf.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer meta.Close()
	tok, err := token.FromGGUF(meta)
	if err != nil {
		t.Fatal(err)
	}
	e := spliceEngine(t)
	m, err := model.Load(t.Context(), e.Backend(), files[0], model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	lm := TextModel{e, m, tok, 1, 24}
	r, err := ScoreByLikelihood(t.Context(), lm, topics()[:2], percentile(200))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("AUC %.3f, control %.3f", r.AUC.Value, r.Control.Value)
	if r.AUC.Value < 0.8 || r.Gain.Value < 0.1 {
		t.Errorf("%+v", r)
	}
	usual, err := lm.LogLikelihood(t.Context(), "The capital of France is", " Paris.")
	if err != nil {
		t.Fatal(err)
	}
	odd, err := lm.LogLikelihood(t.Context(), "The capital of France is", " purple.")
	if err != nil {
		t.Fatal(err)
	}
	if usual <= odd || math.IsInf(odd, 0) {
		t.Errorf("log likelihoods %v and %v", usual, odd)
	}
	if _, err := lm.LogLikelihood(t.Context(), strings.Repeat("long ", 40), "text"); err == nil || !strings.Contains(err.Error(), "larger Seq") {
		t.Errorf("a prompt beyond Seq: %v", err)
	}
}
