package fewshoterasing

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: ascent from the concept's examples lowers its recognition, from random ones it does not, and
// shares are shares.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "concepts=[dog, castle]")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("nothing.acc_e") != 1 || number("published.acc_e") > 0.25 || number("random.acc_e") < 0.75 {
		t.Errorf("acc_e: %v with nothing, %v published, %v from random examples", number("nothing.acc_e"), number("published.acc_e"), number("random.acc_e"))
	}
	if number("nothing.related") != 0 || number("nothing.runner_up") != 0 {
		t.Errorf("nothing moved %v of the prompts", number("nothing.related"))
	}
	if c := number("published.nearest_cosine"); c < -1 || c > number("nothing.nearest_cosine") {
		t.Errorf("cosine with the nearest prototype: %v, %v before", c, number("nothing.nearest_cosine"))
	}
}
