package rece

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: RECE erases, and the recovery error is measured with both Gram matrices.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog, church]", "task.benign=32", "task.held_out=16", "seeds=1", "grid=1", "probe=false")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("rece.acc_e") > 0.05 {
		t.Errorf("Acc_e %v", number("rece.acc_e"))
	}
	if number("rise.stack_zero") <= 0 {
		t.Errorf("recovery rises by %v", number("rise.stack_zero"))
	}
}
