package realera

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: RealEra lowers the recognition of synonyms.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog, church]", "task.benign=32", "task.held_out=16", "seeds=1", "grid=1", "probe=false")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("realera.acc_g") >= number("nothing.acc_g") {
		t.Errorf("Acc_g %v, was %v", number("realera.acc_g"), number("nothing.acc_g"))
	}
}
