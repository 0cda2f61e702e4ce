package loracompose

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/study/studytest"
)

// TestInterference by hand: effects that add up have none, and one that stays away of two orthogonal ones has 1/sqrt 2.
func TestInterference(t *testing.T) {
	before := mat.NewDense(2, 2, []float64{1, 1, 2, 2})
	sum := mat.NewDense(2, 2, []float64{1, 0, 3, 3})
	after := mat.NewDense(2, 2, []float64{2, 1, 5, 2})
	got := interference(after, before, sum)
	if got[0] != 0 || math.Abs(got[1]-1/math.Sqrt2) > 1e-12 {
		t.Errorf("interference %v, by hand 0 and 0.707", got)
	}
}

// TestStudy: one membrane does not interfere with itself, and two do.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "erase=[castle, cow]", "counts=[1, 2]", "fit.layers=[blocks.5.*]", "fit.steps=5", "fit.batch=2", "fit.anchors=2", "ordinary=2")
	get := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if one, two := get("k1.interference"), get("k2.interference"); one > 1e-6 || two <= one {
		t.Errorf("interference %v of one membrane, %v of two", one, two)
	}
	if v := get("overlap"); v < 0 || v > 1 {
		t.Errorf("cosine %v of updates", v)
	}
}
