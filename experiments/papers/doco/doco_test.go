package doco

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: doing nothing changes nothing, and what is computed lies where shares lie.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "erase=[castle]", "fit.train.steps=3", "fit.update=[blocks.5.attn.W_V]", "benign=4", "ordinary=2")
	get := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if get("nothing.acc_e") < 0.9 || get("nothing.neighbour") != 0 || get("none.neighbour") == 0 {
		t.Errorf("doing nothing: Acc_e %v, neighbours move %v; trained %v", get("nothing.acc_e"), get("nothing.neighbour"), get("none.neighbour"))
	}
	for _, name := range []string{"pcgrad.d", "published.d", "none.conflicts"} {
		if v := get(name); v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
}
