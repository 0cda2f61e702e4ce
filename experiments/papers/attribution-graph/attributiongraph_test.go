package attributiongraph

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a small run: rows of graphs sum, the graph predicts the replaced model, shares are shares.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), nil, "numbers=5", "equations=2", "d_model=16", "heads=2", "steps=60", "batch=16", "latents=48", "k=8", "texts=64", "tokens=20000", "prompts=4", "features=3")
	for _, d := range []string{"transcoders", "clt", "permuted"} {
		if gap := studytest.Number(t, r, d+".gap").Value; gap > 1e-4 {
			t.Errorf("%s: rows miss their targets by %v", d, gap)
		}
		for _, name := range []string{"replacement", "completeness"} {
			if v := studytest.Number(t, r, d+"."+name).Value; !(v > 0 && v < 1) {
				t.Errorf("%s of %s is %v", name, d, v)
			}
		}
	}
	for _, name := range []string{"transcoders.replaced", "transcoders.held", "transcoders.free", "clt.free"} {
		if v := studytest.Number(t, r, name).Value; !(v >= -1 && v <= 1) {
			t.Errorf("%s is %v", name, v)
		}
	}
}
