package hirm

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: semantic targets erase, others stay, and rates are rates.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog]", "styles=[cubism]", "blocks=[0, 5]", "grid=1", "task.benign=8", "task.held_out=8", "training=[train.steps=8]")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("hirm_semantic.acc_e") >= number("nothing.acc_e") || number("hirm_semantic.acc_s") < 0.8 {
		t.Errorf("Acc_e %v of %v, Acc_s %v", number("hirm_semantic.acc_e"), number("nothing.acc_e"), number("hirm_semantic.acc_s"))
	}
	if v := number("blocks.behind_best"); v < 0 || v > 1 {
		t.Errorf("behind the best pair by %v", v)
	}
}
