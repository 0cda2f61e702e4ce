package conceptsliders

import (
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/study/studytest"
)

// TestProbe: the means of the classes are 1 apart along the probe.
func TestProbe(t *testing.T) {
	x := mat.NewDense(6, 2, []float64{0, 0, 3, 1, 0, 1, 3, 0, 1, 0, 4, 1})
	w, err := probeOf(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	var score mat.VecDense
	score.MulVec(x, mat.NewVecDense(2, w))
	gap := 0.0
	for i := range 6 {
		gap += float64(2*(i%2)-1) / 3 * score.AtVec(i)
	}
	if gap < 1-1e-9 || gap > 1+1e-9 {
		t.Errorf("the means are %v apart", gap)
	}
}

// TestStudy: the score rises with the strength more than under a random adapter, and the rounded encoder moves like the original.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "sliders=[\"old:young\", \"wet:dry\"]", "fitted=[cat]", "unseen=[cow]", "strengths=[-1, 0, 1]", "fit.layers=[blocks.5.*]", "fit.steps=6", "fit.batch=2", "ordinary=2")
	get := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if get("1.native.slope") <= 0 || get("control") >= 1 || get("transfer") < 0.8 || get("transfer") > 1.2 {
		t.Errorf("slope %v, of a random adapter %v of it, on the rounded encoder %v of it", get("1.native.slope"), get("control"), get("transfer"))
	}
}
