package duge

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: requests are erased, and replay moves the map farther.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog, church, boat]", "task.benign=32", "task.held_out=16", "orders=1", "methods=[{name: uce}, {name: uce, label: uce-no-preserve, settings: [keep.preserve=false]}, {name: trce}]")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("uce.last") > 0.05 || number("uce.earlier_at_once") > 0.1 {
		t.Errorf("Acc_e of the last request %v, of all at once %v", number("uce.last"), number("uce.earlier_at_once"))
	}
	if number("uce.distance") <= 0 || number("uce_replay.distance") <= number("uce.distance") {
		t.Errorf("|E - I| %v, with replay %v", number("uce.distance"), number("uce_replay.distance"))
	}
}
