package hirm

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: semantic targets erase, others stay, and rates are rates.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog]", "styles=[cubism]", "blocks=[0, 5]", "grid=1", "task.benign=8", "task.held_out=8", "training=[train.steps=4]",
		"methods=[{name: nothing}, {name: random-subspace}, {name: hirm-random, settings: [train.steps=4]}, {name: hirm-semantic, settings: [train.lr=1e-3, train.steps=15]}]")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("styles_hirm_semantic.acc_e") >= number("styles_nothing.acc_e") || number("styles_hirm_semantic.acc_s") < 0.8 {
		t.Errorf("Acc_e %v of %v, Acc_s %v", number("styles_hirm_semantic.acc_e"), number("styles_nothing.acc_e"), number("styles_hirm_semantic.acc_s"))
	}
	if v := number("blocks.behind_best"); v < 0 || v > 1 {
		t.Errorf("behind the best pair by %v", v)
	}
}
