package itd

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a small run with a small autoencoder: shares are shares, and prompts outside the gate keep their bits.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "eval.task.erase=[church]", "eval.task.benign=24", "eval.task.held_out=16", "eval.grid=1", "strengths=[0]", "tops=[]", "rounds=1",
		"itd.dictionary.ordinary=0", "itd.dictionary.neutral=24", "itd.dictionary.sae.d_sae=768", "itd.dictionary.sae.batch=512", "itd.dictionary.sae.tokens=20480")
	for _, name := range []string{"itd.tpr", "itd.fpr", "itd.acc_e", "gate.max.tpr", "gate.probe.fpr", "published_threshold.tpr"} {
		if v := studytest.Number(t, r, name).Value; v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
	fpr, identical := studytest.Number(t, r, "itd.fpr").Value, studytest.Number(t, r, "itd.identical").Value
	if identical < 1-fpr-1e-9 {
		t.Errorf("the gate stays shut in %v of what is kept, and %v keeps its bits", 1-fpr, identical)
	}
	if v := studytest.Number(t, r, "fvu.held_out_prompts").Value; v <= 0 || v >= 1 {
		t.Errorf("FVU %v", v)
	}
}
