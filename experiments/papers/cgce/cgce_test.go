package cgce

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a small run: shares are shares, and the classifier tells its concept from the rest.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "eval.task.erase=[church]", "eval.task.benign=16", "eval.task.held_out=8", "eval.grid=1", "cgce.rounds=1", "cgce.kept=false", "cgce.train.hidden=4")
	for _, name := range []string{"cgce.tpr", "cgce.acc_e", "one_training.acc_s", "safe", "auroc"} {
		if v := studytest.Number(t, r, name).Value; v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
	if v := studytest.Number(t, r, "auroc").Value; v < 0.8 {
		t.Errorf("AUROC %v", v)
	}
}
