package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"loupe/internal/stats"
)

// TestCorrelationHand: with two degrees of freedom p = 1 - |r|, with one p = 1 - (2/pi) asin |r|.
func TestCorrelationHand(t *testing.T) {
	tests := []struct {
		name   string
		x, y   []float64
		r      float64
		p      float64
		kendal float64
	}{
		{"four", []float64{1, 2, 3, 4}, []float64{1, 3, 2, 4}, 0.8, 0.2, 4.0 / 6},
		{"three", []float64{1, 2, 3}, []float64{1, 3, 2}, 0.5, 2.0 / 3, 1.0 / 3},
		{"opposite", []float64{1, 2, 3}, []float64{6, 4, 2}, -1, 0, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := must[stats.Correlation](t)(stats.Pearson(test.x, test.y))
			near(t, "r", r.R, test.r, 1e-14)
			near(t, "p", r.P, test.p, 1e-7) // r = -1 +- eps gives p of order sqrt(eps)
			near(t, "rho", must[stats.Correlation](t)(stats.Spearman(test.x, test.y)).R, test.r, 1e-14)
			near(t, "tau", must[float64](t)(stats.KendallTauB(test.x, test.y)), test.kendal, 1e-14)
		})
	}
}

// TestSpearmanTies: x ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4 has covariance 4.5 and squared norms 4.5 and 5.
func TestSpearmanTies(t *testing.T) {
	x, y := []float64{7, 7, 8, 9}, []float64{1, 2, 3, 4}
	near(t, "rho", must[stats.Correlation](t)(stats.Spearman(x, y)).R, 4.5/math.Sqrt(4.5*5), 1e-14)
	near(t, "tau", must[float64](t)(stats.KendallTauB(x, y)), 5/math.Sqrt(5*6), 1e-14)
}

func TestKendallCountsPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		n := 3 + rng.IntN(40)
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i], y[i] = float64(rng.IntN(6)), float64(rng.IntN(9))
		}
		x[0], y[0], x[1], y[1] = -1, -1, 20, 20 // never constant
		var balance, untiedX, untiedY float64
		for i := range x {
			for j := range i {
				dx, dy := sign(x[i]-x[j]), sign(y[i]-y[j])
				balance += dx * dy
				untiedX += dx * dx
				untiedY += dy * dy
			}
		}
		near(t, "tau", must[float64](t)(stats.KendallTauB(x, y)), balance/math.Sqrt(untiedX*untiedY), 1e-13)
	}
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

func TestRankCorrelationsIgnoreMonotoneMaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	x, y, mapped, negated := make([]float64, 30), make([]float64, 30), make([]float64, 30), make([]float64, 30)
	for i := range x {
		x[i] = math.Round(3 * rng.NormFloat64())
		y[i] = x[i] + 2*rng.NormFloat64()
		mapped[i], negated[i] = math.Exp(x[i]), -y[i]
	}
	mapped[0], x[0] = inf, 100 // ranks take infinities
	for name, f := range map[string]func(x, y []float64) float64{
		"spearman": func(x, y []float64) float64 { return must[stats.Correlation](t)(stats.Spearman(x, y)).R },
		"kendall":  func(x, y []float64) float64 { return must[float64](t)(stats.KendallTauB(x, y)) },
	} {
		want := f(x, y)
		near(t, name+" of a monotone map", f(mapped, y), want, 1e-14)
		near(t, name+" swapped", f(y, x), want, 1e-14)
		near(t, name+" negated", f(x, negated), -want, 1e-14)
	}
}

func TestPearsonIgnoresAffineMaps(t *testing.T) {
	x, y := []float64{1, 4, 2, 8, 5}, []float64{3, 1, 4, 1, 5}
	want := must[stats.Correlation](t)(stats.Pearson(x, y))
	for _, scale := range []float64{1e-200, 1e200, -7} {
		mapped := make([]float64, len(x))
		for i, v := range x {
			mapped[i] = scale * v
		}
		got := must[stats.Correlation](t)(stats.Pearson(mapped, y))
		near(t, "r", got.R, math.Copysign(want.R, want.R*scale), 1e-12)
		near(t, "p", got.P, want.P, 1e-12)
	}
}

// TestCorrelationTail: the t tail keeps its relative precision far below the rounding of 1. For small x = 1 - r² and
// a = df/2, p = x^a / (a B(a, 1/2)) (1 + O(x)).
func TestCorrelationTail(t *testing.T) {
	const n = 80
	x, y := make([]float64, n), make([]float64, n)
	for i := range x {
		x[i], y[i] = float64(i), float64(i)+0.3*math.Sin(float64(i))
	}
	r := must[stats.Correlation](t)(stats.Pearson(x, y))
	const a = (n - 2) / 2.0
	gammaA, _ := math.Lgamma(a)
	gammaAHalf, _ := math.Lgamma(a + 0.5)
	want := a*math.Log((1-r.R)*(1+r.R)) - math.Log(a) - gammaA - math.Log(math.Pi)/2 + gammaAHalf
	if want > -200 {
		t.Fatalf("log p is %v, which is no tail", want)
	}
	near(t, "log p", math.Log(r.P), want, 1e-4)
}
