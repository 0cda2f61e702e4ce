package stats

import (
	"fmt"
	"math"
)

// TTest is the outcome of Welch's test.
type TTest struct {
	Difference float64 `json:"difference"` // mean(a) - mean(b)
	SE         float64 `json:"se"`         // of the difference
	T          float64 `json:"t"`
	DF         float64 `json:"df"` // Welch-Satterthwaite
	P          float64 `json:"p"`  // two-sided
}

// Welch tests whether the means of a and b (two values or more each) differ, without assuming equal variances:
//
//	t = (mean a - mean b) / sqrt(v_a + v_b),  df = (v_a + v_b)² / (v_a²/(n_a-1) + v_b²/(n_b-1)),  v = s²/n
//
// It fails with ErrDegenerate when both samples are constant. For few or skewed values prefer PermuteMeans.
func Welch(a, b []float64) (TTest, error) {
	if err := checkSamples(a, b, 2, checkFinite); err != nil {
		return TTest{}, err
	}
	if constant(a) && constant(b) {
		return TTest{}, fmt.Errorf("stats: Welch's test of two constant samples: %w", ErrDegenerate)
	}
	ma, mb := mean(a), mean(b)
	na, nb := float64(len(a)), float64(len(b))
	va, vb := variance(a, ma)/na, variance(b, mb)/nb
	var r TTest
	r.Difference = ma - mb
	r.SE = math.Sqrt(va + vb)
	r.T = r.Difference / r.SE
	wa, wb := va/(va+vb), vb/(va+vb) // shares keep the squares of df in range
	r.DF = 1 / (wa*wa/(na-1) + wb*wb/(nb-1))
	if err := checkResult("Welch's t", r.T, r.DF, r.SE); err != nil {
		return TTest{}, err
	}
	r.P = studentTwoSided(r.T, r.DF)
	return r, nil
}

func checkSamples(a, b []float64, least int, check func(string, []float64) error) error {
	if err := checkCount("a", len(a), least); err != nil {
		return err
	}
	if err := checkCount("b", len(b), least); err != nil {
		return err
	}
	if err := check("a", a); err != nil {
		return err
	}
	return check("b", b)
}
