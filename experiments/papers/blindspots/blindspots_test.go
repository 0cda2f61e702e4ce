package blindspots

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a small run with a small archetypal autoencoder: shares are shares, and two kinds of text differ more than two halves of one.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.benign=24", "task.held_out=48", "random=1", "dictionary.ordinary=0", "dictionary.neutral=24",
		"dictionary.sae.d_sae=128", "dictionary.sae.k=8", "dictionary.sae.batch=256", "dictionary.sae.tokens=5120")
	for _, name := range []string{"null.largest", "uce.collateral", "leace.collateral", "mean_projection.collateral", "corpora.differ", "corpora.null"} {
		if v := studytest.Number(t, r, name).Value; v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
	if differ, null := studytest.Number(t, r, "corpora.differ").Value, studytest.Number(t, r, "corpora.null").Value; differ <= null {
		t.Errorf("two kinds of text differ in %v of the features, two halves of one in %v", differ, null)
	}
}
