package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/combin"

	"loupe/internal/stats"
)

func TestJonckheereHand(t *testing.T) {
	r := must[stats.Trend](t)(stats.Jonckheere([][]float64{{1}, {2}, {3}}))
	near(t, "J", r.J, 3, 0)
	near(t, "mean", r.Mean, 1.5, 1e-14)
	near(t, "variance", r.Variance, 66.0/72, 1e-14)
	near(t, "p", r.PIncreasing, math.Erfc(1.5/math.Sqrt(66.0/72)/math.Sqrt2)/2, 1e-14)
	tied := must[stats.Trend](t)(stats.Jonckheere([][]float64{{1, 2}, {2, 3}}))
	near(t, "J with a tie", tied.J, 3.5, 0)
}

// TestJonckheereMoments: mean and variance are those of J over all ways to deal the same values, ties included.
func TestJonckheereMoments(t *testing.T) {
	tests := []struct {
		name   string
		sizes  []int
		values []float64
	}{
		{"no ties", []int{2, 3, 1}, []float64{1, 2, 3, 4, 5, 6}},
		{"ties", []int{2, 2, 2}, []float64{1, 1, 1, 2, 2, 7}},
		{"two groups", []int{3, 4}, []float64{0, 0, 1, 1, 1, 1, 2}},
		{"unequal", []int{1, 1, 4}, []float64{0, 3, 3, 3, 3, 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			deal := func(order []int) stats.Trend {
				var groups [][]float64
				next := 0
				for _, size := range test.sizes {
					var g []float64
					for range size {
						g = append(g, test.values[order[next]])
						next++
					}
					groups = append(groups, g)
				}
				return must[stats.Trend](t)(stats.Jonckheere(groups))
			}
			n := len(test.values)
			all := combin.Permutations(n, n)
			var sum, squares float64
			for _, order := range all {
				j := deal(order).J
				sum += j
				squares += j * j
			}
			mean := sum / float64(len(all))
			got := deal(all[0])
			near(t, "mean", got.Mean, mean, 1e-12)
			near(t, "variance", got.Variance, squares/float64(len(all))-mean*mean, 1e-10)
		})
	}
}

func TestJonckheereProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	a, b, c := normals(rng, 9, 0), normals(rng, 7, 0.7), normals(rng, 8, 1.4)
	up := must[stats.Trend](t)(stats.Jonckheere([][]float64{a, b, c}))
	down := must[stats.Trend](t)(stats.Jonckheere([][]float64{c, b, a}))
	near(t, "z reversed", down.Z, -up.Z, 1e-13)
	near(t, "p reversed", down.PDecreasing, up.PIncreasing, 1e-13)
	near(t, "sum of one-sided", up.PIncreasing+up.PDecreasing, 1, 1e-13)
	if up.PIncreasing > 0.01 {
		t.Errorf("planted trend has p = %.3g", up.PIncreasing)
	}
	// With two groups the test is Mann-Whitney's without its continuity correction.
	two := must[stats.Trend](t)(stats.Jonckheere([][]float64{a, b}))
	near(t, "z of two groups", two.Z, must[stats.UTest](t)(stats.MannWhitney(b, a)).Z, 1e-13)
}
