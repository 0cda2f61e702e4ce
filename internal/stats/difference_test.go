package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"loupe/internal/stats"
)

// TestDifferenceHand: means 2 and 3, both variances 1.
func TestDifferenceHand(t *testing.T) {
	a, b := []float64{1, 2, 3}, []float64{2, 3, 4}
	w := must[stats.TTest](t)(stats.Welch(a, b))
	near(t, "t", w.T, -math.Sqrt(1.5), 1e-14)
	near(t, "df", w.DF, 4, 1e-14)
	near(t, "SE", w.SE, math.Sqrt(2.0/3), 1e-14)
	s := math.Sqrt(1.5 / 5.5) // with four degrees of freedom P(|T| < t) = s (1 + (1-s²)/2), s = t / sqrt(4 + t²)
	near(t, "p", w.P, 1-s*(1+(1-s*s)/2), 1e-13)

	g := must[stats.Effect](t)(stats.Hedges(a, b, 0.95))
	near(t, "d", g.D, -1, 1e-14)
	near(t, "J", g.J, 0.8, 1e-14)
	near(t, "g", g.Value, -0.8, 1e-14)
	near(t, "SE", g.SE, math.Sqrt(6.0/9+0.64/12), 1e-14)
	near(t, "width", g.High-g.Low, 2*1.959963984540054*g.SE, 1e-14)

	u := must[stats.UTest](t)(stats.MannWhitney([]float64{3, 4}, []float64{1, 2}))
	near(t, "U", u.U, 4, 0)
	near(t, "z", u.Z, 2/math.Sqrt(5.0/3), 1e-14)
	near(t, "p", u.P, math.Erfc(1.5/math.Sqrt(5.0/3)/math.Sqrt2), 1e-14)
}

func TestDifferenceSwap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	a, b := normals(rng, 7, 0.5), normals(rng, 12, 0)
	w, v := must[stats.TTest](t)(stats.Welch(a, b)), must[stats.TTest](t)(stats.Welch(b, a))
	near(t, "t", v.T, -w.T, 1e-14)
	near(t, "p", v.P, w.P, 1e-14)
	g, h := must[stats.Effect](t)(stats.Hedges(a, b, 0.9)), must[stats.Effect](t)(stats.Hedges(b, a, 0.9))
	near(t, "g", h.Value, -g.Value, 1e-14)
	near(t, "low", h.Low, -g.High, 1e-14)
	u, r := must[stats.UTest](t)(stats.MannWhitney(a, b)), must[stats.UTest](t)(stats.MannWhitney(b, a))
	near(t, "U of both", u.U+r.U, float64(len(a)*len(b)), 1e-14)
	near(t, "p", r.P, u.P, 1e-14)
	labels := make([]bool, len(a)+len(b))
	for i := range a {
		labels[i] = true
	}
	auc := must[float64](t)(stats.AUC(append(append([]float64(nil), a...), b...), labels))
	near(t, "AUC", auc, u.U/float64(len(a)*len(b)), 1e-14)
}

// TestDifferenceUnits: neither scale nor offset changes t or g.
func TestDifferenceUnits(t *testing.T) {
	a, b := []float64{1, 4, 2, 9}, []float64{3, 7, 8, 8, 9}
	w, g := must[stats.TTest](t)(stats.Welch(a, b)), must[stats.Effect](t)(stats.Hedges(a, b, 0.95))
	scaled := func(x []float64) []float64 {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = 1e-120*v + 5e-120
		}
		return y
	}
	near(t, "t", must[stats.TTest](t)(stats.Welch(scaled(a), scaled(b))).T, w.T, 1e-12)
	near(t, "p", must[stats.TTest](t)(stats.Welch(scaled(a), scaled(b))).P, w.P, 1e-12)
	near(t, "g", must[stats.Effect](t)(stats.Hedges(scaled(a), scaled(b), 0.95)).Value, g.Value, 1e-12)
}

// TestHedgesCovers plants a difference of one standard deviation.
func TestHedgesCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	const trials = 4000
	covered, total := 0, 0.0
	for range trials {
		g := must[stats.Effect](t)(stats.Hedges(normals(rng, 12, 1), normals(rng, 15, 0), 0.95))
		total += g.Value
		if g.Low <= 1 && 1 <= g.High {
			covered++
		}
	}
	between(t, "mean of g", total/trials, 0.98, 1.02)
	between(t, "coverage of g", float64(covered)/trials, 0.935, 0.965)
}

// TestNullRates: tests of equal distributions reject at their level.
func TestNullRates(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	const trials = 4000
	var welch, mannWhitney, ks, jonckheere int
	for range trials {
		a, b, c := normals(rng, 15, 0), normals(rng, 20, 0), normals(rng, 12, 0)
		welch += reject(must[stats.TTest](t)(stats.Welch(a, b)).P)
		mannWhitney += reject(must[stats.UTest](t)(stats.MannWhitney(a, b)).P)
		ks += reject(must[stats.KSTest](t)(stats.KolmogorovSmirnov(a, b)).P)
		jonckheere += reject(must[stats.Trend](t)(stats.Jonckheere([][]float64{a, b, c})).PIncreasing)
	}
	between(t, "Welch", float64(welch)/trials, 0.04, 0.06)
	between(t, "Mann-Whitney", float64(mannWhitney)/trials, 0.038, 0.06)
	between(t, "Kolmogorov-Smirnov", float64(ks)/trials, 0.025, 0.06) // discrete, so below its level
	between(t, "Jonckheere", float64(jonckheere)/trials, 0.04, 0.06)
}

func reject(p float64) int {
	if p <= 0.05 {
		return 1
	}
	return 0
}

func normals(rng *rand.Rand, n int, mean float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = mean + rng.NormFloat64()
	}
	return x
}

func TestWilson(t *testing.T) {
	const z2 = 1.959963984540054 * 1.959963984540054
	none := must[stats.Interval](t)(stats.Wilson(0, 10, 0.95))
	near(t, "low of none", none.Low, 0, 0)
	near(t, "high of none", none.High, z2/(10+z2), 1e-14)
	all := must[stats.Interval](t)(stats.Wilson(10, 10, 0.95))
	near(t, "low of all", all.Low, 1-none.High, 1e-14)
	near(t, "high of all", all.High, 1, 0)
	half := must[stats.Interval](t)(stats.Wilson(5, 10, 0.95))
	near(t, "low of half", half.Low, 0.5-0.5*math.Sqrt(z2/(10+z2)), 1e-14)
	// The ends solve |p - theta| = z sqrt(theta (1-theta) / n).
	some := must[stats.Interval](t)(stats.Wilson(3, 17, 0.95))
	for _, end := range []float64{some.Low, some.High} {
		near(t, "score at the end", math.Pow(3.0/17-end, 2), z2*end*(1-end)/17, 1e-14)
	}
	// Coverage is summed exactly over the binomial distribution.
	const n = 25
	for _, p := range []float64{0.02, 0.2, 0.5, 0.97} {
		covered := 0.0
		for k := range n + 1 {
			w := must[stats.Interval](t)(stats.Wilson(k, n, 0.95))
			if w.Low <= p && p <= w.High {
				covered += math.Exp(logBinomial(n, k) + float64(k)*math.Log(p) + float64(n-k)*math.Log(1-p))
			}
		}
		between(t, "coverage", covered, 0.90, 0.99)
	}
}

func logBinomial(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
