package spm

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: texts of gamma 0 keep every bit, doing nothing moves nothing, and a random adapter of equal norms erases less.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "erase=[dog]", "fit.layers=[blocks.5.*]", "fit.steps=6", "fit.batch=2", "fit.anchors=2", "ordinary=4", "gated=8")
	get := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if n := get("gamma_zero.texts"); n > 0 && get("gamma_zero.identical") != 1 {
		t.Errorf("of %v texts with gamma 0, %v keep every bit", n, get("gamma_zero.identical"))
	}
	if get("nothing.acc_e") < 0.9 || get("nothing.neighbour") != 0 {
		t.Errorf("doing nothing: Acc_e %v, neighbours move %v", get("nothing.acc_e"), get("nothing.neighbour"))
	}
	if get("open.acc_e") > get("random.acc_e") || get("spm.neighbour") > get("open.neighbour") {
		t.Errorf("Acc_e %v, of a random adapter %v; neighbours move %v with transport, %v without", get("open.acc_e"), get("random.acc_e"), get("spm.neighbour"), get("open.neighbour"))
	}
}
