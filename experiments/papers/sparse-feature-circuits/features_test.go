package sparsefeaturecircuits

import (
	"math"
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a small run on two late sites: attributions agree with patches, the circuit of the largest effects carries more than as many nodes
// drawn at random, and shares are shares.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"smollm2"}, "layers=[27, 29]", "rows=4", "steps=2", "exact=8", "drawn=6", "explain=2",
		"text.tokens=800", "text.max_length=16", "text.eval=50", "sae.tokens=1000", "sae.d_sae=192", "sae.k=8", "sae.batch=200", "sae.init_rows=512")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if v := number("atp.pearson"); v < 0.5 {
		t.Errorf("attributions and patches correlate by %v", v)
	}
	if number("features.faithful_50") <= number("random.faithful_50") {
		t.Errorf("50 features carry %v, 50 drawn %v", number("features.faithful_50"), number("random.faithful_50"))
	}
	if v := number("errors.share"); v < 0 || v > 1 {
		t.Errorf("share of errors %v", v)
	}
}

// TestSlope: of a line through 0, and of nothing.
func TestSlope(t *testing.T) {
	if got := slope([]float64{1, 2}, []float64{2, 4}); math.Abs(got-2) > 1e-12 {
		t.Errorf("%v", got)
	}
	if slope([]float64{0}, []float64{1}) != 0 || pearson([]float64{1, 1}, []float64{1, 2}) != 0 {
		t.Error("constant attributions have a slope or a correlation")
	}
}
