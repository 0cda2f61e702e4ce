package uce

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: UCE erases, what is preserved stays nearer than without, and debiasing brings shares nearer to equal.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog, church]", "generated=102", "professions=[nurse, engineer]", "debias.rounds=30", "task.benign=32", "task.held_out=16", "seeds=1", "grid=1", "probe=false")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("uce.acc_e") > 0.05 || number("nothing.acc_e") < 0.9 {
		t.Errorf("Acc_e %v, was %v", number("uce.acc_e"), number("nothing.acc_e"))
	}
	if number("neighbours.bare_over_preserved") <= 1 {
		t.Errorf("what is preserved keeps neighbours no better: %v", number("neighbours.bare_over_preserved"))
	}
	if number("debias.after") >= number("debias.before") {
		t.Errorf("shares were %v from equal, and are %v", number("debias.before"), number("debias.after"))
	}
}
