package ant

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a mask lets less than half of the weights move, as many as its random control, and none of them all.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "erase=[castle]", "fit.update=[blocks.0.mlp.W_in]", "fit.augmentations=2", "fit.train.steps=2", "fit.batch=2", "fewer=1", "ordinary=2")
	get := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if get("salient.moved") > 0.5 || get("salient.moved") != get("random.moved") || get("none.moved") != 1 || get("nothing.moved") != 0 {
		t.Errorf("weights that move: salient %v, random %v, none %v, nothing %v", get("salient.moved"), get("random.moved"), get("none.moved"), get("nothing.moved"))
	}
	if get("nothing.neighbour") != 0 || get("none.neighbour") == 0 {
		t.Errorf("neighbours move %v, trained %v", get("nothing.neighbour"), get("none.neighbour"))
	}
}
