package stats

import (
	"fmt"
	"math"
	"slices"
)

// Trend is the outcome of the Jonckheere-Terpstra test.
type Trend struct {
	J           float64 `json:"j"`        // pairs in ascending order over all pairs of groups, ties counted half
	Mean        float64 `json:"mean"`     // of J without a trend
	Variance    float64 `json:"variance"` // of J without a trend, corrected for ties
	Z           float64 `json:"z"`
	PIncreasing float64 `json:"p_increasing"`
	PDecreasing float64 `json:"p_decreasing"`
	P           float64 `json:"p"` // two-sided
}

// Jonckheere tests whether values rise (or fall) along the ordered groups, a dose-response trend. The p-values are normal,
// without continuity correction; the variance has the three tie terms of Hollander, Wolfe and Chicken. It needs two groups, a
// value in each and three in all, and fails with ErrDegenerate when all values are equal.
func Jonckheere(groups [][]float64) (Trend, error) {
	if len(groups) < 2 {
		return Trend{}, fmt.Errorf("stats: trend over %d groups: %w; it needs two or more", len(groups), ErrTooFew)
	}
	var all []float64
	sorted := make([][]float64, len(groups))
	for i, g := range groups {
		what := fmt.Sprintf("group %d", i)
		if err := checkCount(what, len(g), 1); err != nil {
			return Trend{}, err
		}
		if err := checkOrdered(what, g); err != nil {
			return Trend{}, err
		}
		all = append(all, g...)
		sorted[i] = slices.Sorted(slices.Values(g))
	}
	if err := checkCount("the union of the groups", len(all), 3); err != nil {
		return Trend{}, err
	}
	if constant(all) {
		return Trend{}, fmt.Errorf("stats: trend of values that are all equal: %w", ErrDegenerate)
	}
	var r Trend
	for i := range sorted {
		for _, later := range sorted[i+1:] {
			r.J += exceedances(later, sorted[i])
		}
	}
	n := float64(len(all))
	var size, tie tieSums
	for _, g := range groups {
		size.add(len(g))
		r.Mean -= float64(len(g)) * float64(len(g))
	}
	r.Mean = (n*n + r.Mean) / 4
	_, ties := ranks(all)
	for _, t := range ties {
		tie.add(t)
	}
	r.Variance = (n*(n-1)*(2*n+5)-size.linear-tie.linear)/72 +
		size.triples*tie.triples/(36*n*(n-1)*(n-2)) + size.pairs*tie.pairs/(8*n*(n-1))
	r.Z = (r.J - r.Mean) / math.Sqrt(r.Variance)
	if err := checkResult("Jonckheere's z", r.Z); err != nil {
		return Trend{}, err
	}
	r.PIncreasing, r.PDecreasing = normalSF(r.Z), normalSF(-r.Z)
	r.P = min(1, 2*normalSF(math.Abs(r.Z)))
	return r, nil
}

// tieSums adds k(k-1)(2k+5), k(k-1) and k(k-1)(k-2) over group or tie sizes k.
type tieSums struct{ linear, pairs, triples float64 }

func (s *tieSums) add(size int) {
	k := float64(size)
	s.linear += k * (k - 1) * (2*k + 5)
	s.pairs += k * (k - 1)
	s.triples += k * (k - 1) * (k - 2)
}

// exceedances counts the pairs in which a value of a exceeds one of b, ties half; both ascend. O(len(a) + len(b)).
func exceedances(a, b []float64) float64 {
	var count float64
	below, upTo := 0, 0 // values of b less than, and not more than, the current value of a
	for _, v := range a {
		for below < len(b) && b[below] < v {
			below++
		}
		for upTo < len(b) && b[upTo] <= v {
			upTo++
		}
		count += float64(below+upTo) / 2
	}
	return count
}
