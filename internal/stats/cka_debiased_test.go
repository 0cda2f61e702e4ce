package stats_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// hsic is the unbiased estimator as Song et al. (2012, eq. 5) write it, term by term.
func hsic(k, l *mat.Dense) float64 {
	n, _ := k.Dims()
	trace, kSum, lSum, both := 0.0, 0.0, 0.0, 0.0
	for i := range n {
		for j := range n {
			if i == j {
				continue
			}
			trace += k.At(i, j) * l.At(j, i)
			kSum += k.At(i, j)
			lSum += l.At(i, j)
			for m := range n {
				if m != j {
					both += k.At(i, j) * l.At(j, m)
				}
			}
		}
	}
	f := float64(n)
	return (trace + kSum*lSum/((f-1)*(f-2)) - 2*both/(f-2)) / (f * (f - 3))
}

// TestDebiasedCKA: it is the ratio of unbiased estimates, is not moved by shifts, rotations and scales, and averages to nothing
// on independent wide rows where LinearCKA is far up.
func TestDebiasedCKA(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 8))
	x, y := mat.NewDense(7, 3, normals(rng, 21, 0)), mat.NewDense(7, 2, normals(rng, 14, 0))
	gram := func(x *mat.Dense) *mat.Dense {
		var k mat.Dense
		k.Mul(x, x.T())
		return &k
	}
	want := hsic(gram(x), gram(y)) / math.Sqrt(hsic(gram(x), gram(x))*hsic(gram(y), gram(y)))
	near(t, "by Song et al.", must[float64](t)(stats.DebiasedCKA(x, y)), want, 1e-12)
	near(t, "itself", must[float64](t)(stats.DebiasedCKA(x, x)), 1, 1e-14)
	moved := mat.DenseCopyOf(x)
	moved.Apply(func(_, j int, v float64) float64 { return -3*v + float64(j) }, moved)
	near(t, "moved and scaled", must[float64](t)(stats.DebiasedCKA(moved, y)), want, 1e-12)

	mean, biased := 0.0, 0.0
	for range 40 {
		a, b := mat.NewDense(20, 60, normals(rng, 1200, 0)), mat.NewDense(20, 60, normals(rng, 1200, 0))
		mean += must[float64](t)(stats.DebiasedCKA(a, b)) / 40
		biased += must[float64](t)(stats.LinearCKA(a, b)) / 40
	}
	if math.Abs(mean) > 0.02 || biased < 0.5 { // the mean's standard error is 0.005
		t.Errorf("independent rows: debiased %.3f, biased %.3f", mean, biased)
	}
	if _, err := stats.DebiasedCKA(mat.NewDense(3, 1, []float64{1, 2, 4}), mat.NewDense(3, 1, []float64{1, 2, 3})); !errors.Is(err, stats.ErrTooFew) {
		t.Errorf("three rows: %v", err)
	}
}

// TestPermuteCKA: shared directions are found, independent rows give p-values that are uniform, and the statistic is that of the
// plain functions.
func TestPermuteCKA(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 8))
	cfg := stats.PermutationConfig{Resamples: 199, Seed: 1}
	small := 0
	for trial := range 100 {
		x, y := mat.NewDense(15, 8, normals(rng, 120, 0)), mat.NewDense(15, 8, normals(rng, 120, 0))
		test := must[stats.PermutationTest](t)(stats.PermuteCKA(t.Context(), x, y, trial%2 == 0, cfg))
		plain := stats.LinearCKA
		if trial%2 == 0 {
			plain = stats.DebiasedCKA
		}
		near(t, "statistic", test.Statistic, must[float64](t)(plain(x, y)), 1e-12)
		if test.P <= 0.1 {
			small++
		}
		for i := range 15 {
			for j := range 4 {
				y.Set(i, j, 4*x.At(i, j+1))
			}
		}
		if shared := must[stats.PermutationTest](t)(stats.PermuteCKA(t.Context(), x, y, trial%2 == 0, cfg)); trial < 10 && shared.P > 0.05 {
			t.Errorf("shared directions have p %v", shared.P)
		}
	}
	if small > 20 { // of 100 at 0.1: 20 has a chance of 0.001
		t.Errorf("%d of 100 independent pairs have p <= 0.1", small)
	}
}
