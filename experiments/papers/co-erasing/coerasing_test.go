package coerasing

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: with mixes the concepts are erased and the others kept.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[Marie Curie, Jane Austen]", "task.benign=32", "task.held_out=16", "seeds=1", "grid=1", "probe=false")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("co_erasing.acc_e") > 0.2 || number("co_erasing.acc_s") < 0.8 {
		t.Errorf("Acc_e %v, Acc_s %v", number("co_erasing.acc_e"), number("co_erasing.acc_s"))
	}
}
