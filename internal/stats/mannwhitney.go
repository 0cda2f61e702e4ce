package stats

import (
	"fmt"
	"math"
)

// UTest is the outcome of the Mann-Whitney test.
type UTest struct {
	U float64 `json:"u"` // pairs in which a exceeds b, ties counted half; U / (n_a n_b) is the AUC
	Z float64 `json:"z"` // positive when a is larger, before the continuity correction
	P float64 `json:"p"` // two-sided, normal, with continuity and tie correction
}

// MannWhitney tests whether values of a tend to exceed those of b. The variance of U is corrected for ties, and half a
// unit is taken off |U - mean| for continuity:
//
//	var U = n_a n_b / 12 (N + 1 - sum_j (t_j³ - t_j) / (N (N-1)))
//
// The normal p-value is good from about eight values a side; below, use PermuteTwoSample. It fails with ErrDegenerate when
// all values are equal.
func MannWhitney(a, b []float64) (UTest, error) {
	if err := checkSamples(a, b, 1, checkOrdered); err != nil {
		return UTest{}, err
	}
	all := append(append(make([]float64, 0, len(a)+len(b)), a...), b...)
	if constant(all) {
		return UTest{}, fmt.Errorf("stats: Mann-Whitney test of values that are all equal: %w", ErrDegenerate)
	}
	rank, ties := ranks(all)
	na, nb := float64(len(a)), float64(len(b))
	n := na + nb
	u := sum(rank[:len(a)]) - na*(na+1)/2
	var tied float64
	for _, t := range ties {
		t := float64(t)
		tied += t*t*t - t
	}
	sd := math.Sqrt(na * nb / 12 * (n + 1 - tied/(n*(n-1))))
	deviation := u - na*nb/2
	p := min(1, 2*normalSF((math.Abs(deviation)-0.5)/sd))
	return UTest{U: u, Z: deviation / sd, P: p}, nil
}
