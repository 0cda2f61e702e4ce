package trce

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: TRCE lowers the recognition of prompts and of descriptions.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[]", "task.benign=32", "task.held_out=16", "seeds=1", "grid=1", "probe=false")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("trce.acc_e") >= number("nothing.acc_e") || number("trce.implicit") >= number("nothing.implicit") {
		t.Errorf("Acc_e %v, implicit %v", number("trce.acc_e"), number("trce.implicit"))
	}
}
