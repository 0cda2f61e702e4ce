package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/combin"

	"loupe/internal/stats"
)

func TestKSHand(t *testing.T) {
	tests := []struct {
		name string
		a, b []float64
		d, p float64
	}{
		{"apart", []float64{1, 2}, []float64{3, 4}, 1, 2.0 / 6},
		{"alternating", []float64{1, 3}, []float64{2, 4}, 0.5, 1},
		{"one against three", []float64{0}, []float64{1, 2, 3}, 1, 2.0 / 4},
		{"equal", []float64{1, 2, 2}, []float64{1, 2, 2}, 0, 1},
		{"one tied block", []float64{5, 5}, []float64{5, 5, 5}, 0, 1},
		{"infinities", []float64{math.Inf(-1), math.Inf(-1)}, []float64{inf, inf}, 1, 2.0 / 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := must[stats.KSTest](t)(stats.KolmogorovSmirnov(test.a, test.b))
			near(t, "D", r.D, test.d, 0)
			near(t, "p", r.P, test.p, 1e-14)
		})
	}
}

// TestKSEnumerates compares the exact p-value with the share of all splits of the pooled values that reach D.
func TestKSEnumerates(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int{{1, 6}, {3, 4}, {4, 4}, {2, 7}, {6, 3}, {6, 4}} {
		na, n := size[0], size[0]+size[1]
		all := normals(rng, n, 0)
		d := must[stats.KSTest](t)(stats.KolmogorovSmirnov(all[:na], all[na:]))
		splits := combin.Combinations(n, na)
		reached := 0
		for _, chosen := range splits {
			var a, b []float64
			for i, v := range all {
				if len(a) < na && chosen[len(a)] == i {
					a = append(a, v)
				} else {
					b = append(b, v)
				}
			}
			if must[stats.KSTest](t)(stats.KolmogorovSmirnov(a, b)).D >= d.D-1e-12 {
				reached++
			}
		}
		near(t, "p", d.P, float64(reached)/float64(len(splits)), 1e-13)
	}
}

func TestKSProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	a, b := normals(rng, 31, 0.4), normals(rng, 18, 0)
	want := must[stats.KSTest](t)(stats.KolmogorovSmirnov(a, b))
	swapped := must[stats.KSTest](t)(stats.KolmogorovSmirnov(b, a))
	near(t, "p swapped", swapped.P, want.P, 1e-13)
	for i := range a {
		a[i] = math.Atan(a[i])
	}
	for i := range b {
		b[i] = math.Atan(b[i])
	}
	mapped := must[stats.KSTest](t)(stats.KolmogorovSmirnov(a, b))
	if mapped != want {
		t.Errorf("after a monotone map %+v, before %+v", mapped, want)
	}
}

// TestKSTail: complete separation of n and n has p = 2 / C(2n, n), far below the rounding of 1.
func TestKSTail(t *testing.T) {
	const n = 150
	a, b := make([]float64, n), make([]float64, n)
	for i := range a {
		a[i], b[i] = float64(i), float64(n+i)
	}
	r := must[stats.KSTest](t)(stats.KolmogorovSmirnov(a, b))
	near(t, "log p", math.Log(r.P), math.Ln2-logBinomial(2*n, n), 1e-11)
}

// TestKSAsymptotic: sizes just within and just beyond the exact limit agree; the sample is a ramp against a shifted ramp.
func TestKSAsymptotic(t *testing.T) {
	ramp := func(n int, offset float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = (float64(i)+0.5)/float64(n) + offset
		}
		return x
	}
	const n = 10_000
	for _, offset := range []float64{0.005, 0.012, 0.02, 0.03} {
		b := ramp(n, offset)
		exact := must[stats.KSTest](t)(stats.KolmogorovSmirnov(ramp(n, 0), b))
		limit := must[stats.KSTest](t)(stats.KolmogorovSmirnov(ramp(n+1, 0), b))
		if !exact.Exact || limit.Exact {
			t.Fatalf("Exact is %v at 1e8 cells and %v beyond", exact.Exact, limit.Exact)
		}
		// Equal sizes put D on a coarse grid, so that the two p-values differ by up to half a step of it.
		between(t, "asymptotic / exact", limit.P/exact.P, 0.95, 1.05)
	}
}
