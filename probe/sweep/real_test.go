package sweep

import (
	"log/slog"
	"path/filepath"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/capture"
)

// TestConceptsOfMiniLM captures a few generated sentences and probes two concepts at three layers: at the word, concepts of
// held-out words in held-out templates are read; a bag of words reads nothing of them, and shuffled labels little.
func TestConceptsOfMiniLM(t *testing.T) {
	b := graphtest.Backend(t)
	model := graphtest.Model(t, "minilm")
	c, err := load("store="+filepath.Join(t.TempDir(), "store"), "capture.model="+model, "capture.offline=true", `capture.corpus.concepts=["animals","countries"]`,
		"capture.corpus.train_pairs=60", "capture.corpus.held_out_pairs=20", "capture.buckets=[32]", "capture.max_length=32",
		`capture.sites=[{site: blocks.0.hook_resid_pre}, {site: blocks.2.hook_resid_post}]`, `sites=["blocks.*"]`, "positions=span-last", "controls.shuffles=3")
	if err != nil {
		t.Fatal(err)
	}
	if needed, err := c.NeedsCapture(); !needed || err != nil {
		t.Fatalf("the store is not there: %v, %v", needed, err)
	}
	cp, err := c.OpenCapture(t.Context(), b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer cp.Close()
	if _, err := cp.Run(t.Context(), capture.RunOptions{}); err != nil {
		t.Fatal(err)
	}
	if needed, err := c.NeedsCapture(); needed || err != nil {
		t.Fatalf("the store is there: %v, %v", needed, err)
	}
	r, err := toyRun(t, c, t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, concept := range []string{"animals", "countries"} {
		deep := r.cell(t, concept, "blocks.2.hook_resid_post", "span-last")
		shallow := r.cell(t, concept, "blocks.0.hook_resid_pre", "span-last")
		t.Logf("%s: AUC %.3f [%.3f, %.3f] after three layers, %.3f of the embeddings; shuffled at most %.3f; selectivity %.3f, control task %.3f", concept, deep.Figure,
			deep.Score.AUC.Low, deep.Score.AUC.High, shallow.Figure, deep.Shuffled.Max, deep.ControlTask.Selectivity.Value, deep.ControlTask.Control)
		if deep.Figure < 0.9 || deep.Shuffled.Max > 0.85 {
			t.Errorf("%s: AUC %v, shuffled at most %v", concept, deep.Figure, deep.Shuffled.Max)
		}
		if deep.Groups < 5 || deep.Test != 40 {
			t.Errorf("%s: %d test rows of %d words", concept, deep.Test, deep.Groups)
		}
	}
	for _, base := range r.Baselines {
		if base.Kind == Words && (base.Figure < 0.4 || base.Figure > 0.6) {
			t.Errorf("%s: a bag of words has AUC %v on held-out words", base.Target, base.Figure)
		}
	}
}
