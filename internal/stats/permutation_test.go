package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/stats"
)

func TestPermutationHand(t *testing.T) {
	cfg := stats.DefaultPermutation()
	tests := []struct {
		name     string
		got      func(alt stats.Alternative) (stats.PermutationTest, error)
		two      float64
		greater  float64
		less     float64
		observed float64
		count    int
	}{
		{"means apart", func(alt stats.Alternative) (stats.PermutationTest, error) {
			return stats.PermuteMeans(ctx, []float64{3, 4}, []float64{1, 2}, alt, cfg)
		}, 2.0 / 6, 1.0 / 6, 1, 2, 6},
		{"means equal", func(alt stats.Alternative) (stats.PermutationTest, error) {
			return stats.PermuteMeans(ctx, []float64{1, 4}, []float64{2, 3}, alt, cfg)
		}, 1, 4.0 / 6, 4.0 / 6, 0, 6},
		{"means of tenths", func(alt stats.Alternative) (stats.PermutationTest, error) { // 0.1+0.2 and 0.3 differ in the last bit
			return stats.PermuteMeans(ctx, []float64{0.1, 0.2, 0.3}, []float64{0.3, 0.2, 0.1}, alt, cfg)
		}, 1, 14.0 / 20, 14.0 / 20, 0, 20},
		{"signs", func(alt stats.Alternative) (stats.PermutationTest, error) {
			return stats.PermuteSigns(ctx, []float64{1, 2, 3}, alt, cfg)
		}, 2.0 / 8, 1.0 / 8, 1, 2, 8},
		{"signs with a zero", func(alt stats.Alternative) (stats.PermutationTest, error) {
			return stats.PermuteSigns(ctx, []float64{5, 0}, alt, cfg)
		}, 1, 0.5, 1, 2.5, 4},
		{"equal signs", func(alt stats.Alternative) (stats.PermutationTest, error) {
			return stats.PermuteSigns(ctx, []float64{-2, -2}, alt, cfg)
		}, 0.5, 1, 0.25, -2, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for alt, want := range map[stats.Alternative]float64{stats.TwoSided: test.two, stats.Greater: test.greater, stats.Less: test.less} {
				r := must[stats.PermutationTest](t)(test.got(alt))
				near(t, string(alt), r.P, want, 1e-14)
				near(t, "observed", r.Statistic, test.observed, 1e-14)
				if !r.Exact || r.Arrangements != test.count {
					t.Errorf("%d arrangements, exact %v; want all %d", r.Arrangements, r.Exact, test.count)
				}
			}
		})
	}
}

// TestPairingHand: 1, 2, 3 against itself reaches its sum of products in one of six orders.
func TestPairingHand(t *testing.T) {
	x := []float64{1, 2, 3}
	seen := make(map[[3]int]int)
	r := must[stats.PermutationTest](t)(stats.PermutePairing(ctx, 3, func(order []int) float64 {
		seen[[3]int(order)]++
		total := 0.0
		for i, k := range order {
			total += x[i] * x[k]
		}
		return total
	}, stats.DefaultPermutation()))
	near(t, "p", r.P, 1.0/6, 1e-14)
	near(t, "statistic", r.Statistic, 14, 0)
	if len(seen) != 6 {
		t.Errorf("saw %d permutations, want 6", len(seen))
	}
}

// TestPermuteTwoSampleIsPermuteMeans: a custom statistic equal to the mean difference gives the same p-value, exact and drawn.
func TestPermuteTwoSampleIsPermuteMeans(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	for _, cfg := range []stats.PermutationConfig{{Resamples: 5000}, {Resamples: 500}} {
		a, b := normals(rng, 6, 0.5), normals(rng, 7, 0) // 1716 splits
		want := must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, a, b, stats.TwoSided, cfg))
		got := must[stats.PermutationTest](t)(stats.PermuteTwoSample(ctx, a, b, func(a, b []float64) float64 {
			var ma, mb float64
			for _, v := range a {
				ma += v / float64(len(a))
			}
			for _, v := range b {
				mb += v / float64(len(b))
			}
			return math.Abs(ma - mb)
		}, cfg))
		if got.P != want.P || got.Exact != (cfg.Resamples == 5000) {
			t.Errorf("custom %+v, means %+v", got, want)
		}
	}
}

// TestDrawnApproachesExact draws fewer arrangements than there are.
func TestDrawnApproachesExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 7))
	a, b, d := normals(rng, 8, 0.7), normals(rng, 9, 0), normals(rng, 16, 0.3)
	exact := must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, a, b, stats.TwoSided, stats.PermutationConfig{Resamples: 30000}))
	drawn := must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, a, b, stats.TwoSided, stats.PermutationConfig{Resamples: 20000}))
	if !exact.Exact || drawn.Exact {
		t.Fatalf("24310 splits: exact %v with 30000 and %v with 20000", exact.Exact, drawn.Exact)
	}
	near(t, "p of means", drawn.P, exact.P, 4*math.Sqrt(exact.P/20000))
	exact = must[stats.PermutationTest](t)(stats.PermuteSigns(ctx, d, stats.Greater, stats.PermutationConfig{Resamples: 1 << 16}))
	drawn = must[stats.PermutationTest](t)(stats.PermuteSigns(ctx, d, stats.Greater, stats.PermutationConfig{Resamples: 20000}))
	near(t, "p of signs", drawn.P, exact.P, 4*math.Sqrt(exact.P/20000))
}

// TestDrawnIsNeverZero: separated samples, p = (1 + 0) / (1 + n) at the least, and a function of the seed.
func TestDrawnIsNeverZero(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 7))
	a, b := normals(rng, 40, 50), normals(rng, 40, 0)
	cfg := stats.PermutationConfig{Resamples: 99}
	near(t, "p", must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, a, b, stats.Greater, cfg)).P, 0.01, 1e-15)
	near(t, "p of 70 signs", must[stats.PermutationTest](t)(stats.PermuteSigns(ctx, normals(rng, 70, 9), stats.Greater, cfg)).P, 0.01, 1e-15)
	near(t, "p of nothing", must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, a[:12], a[:12], stats.TwoSided, cfg)).P, 1, 1e-15)
	c := normals(rng, 40, 0)
	first := must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, c, b, stats.TwoSided, cfg))
	if again := must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, c, b, stats.TwoSided, cfg)); again != first {
		t.Errorf("the same seed gave %+v and %+v", first, again)
	}
	var values []float64
	for seed := range uint64(8) {
		cfg.Seed = seed
		values = append(values, must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, c, b, stats.TwoSided, cfg)).P)
	}
	if slices.Min(values) == slices.Max(values) {
		t.Errorf("eight seeds gave the same p-value %v", values[0])
	}
}

// TestPermutationRates: rejections without an effect keep to the level, with a planted one they are frequent.
func TestPermutationRates(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 7))
	const trials = 4000 // four standard errors of a rate of 0.05 are 0.014
	var null, planted, signs, pairing int
	for trial := range trials {
		cfg := stats.PermutationConfig{Resamples: 199, Seed: uint64(trial)}
		skewed := func(n int, shift float64) []float64 {
			x := make([]float64, n)
			for i := range x {
				x[i] = rng.ExpFloat64() + shift
			}
			return x
		}
		null += reject(must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, skewed(8, 0), skewed(12, 0), stats.TwoSided, cfg)).P)
		planted += reject(must[stats.PermutationTest](t)(stats.PermuteMeans(ctx, skewed(8, 2), skewed(12, 0), stats.TwoSided, cfg)).P)
		signs += reject(must[stats.PermutationTest](t)(stats.PermuteSigns(ctx, normals(rng, 12, 0), stats.TwoSided, cfg)).P)
		x, y := normals(rng, 9, 0), normals(rng, 9, 0)
		pairing += reject(must[stats.PermutationTest](t)(stats.PermutePairing(ctx, 9, func(order []int) float64 {
			total := 0.0
			for i, k := range order {
				total += x[i] * y[k]
			}
			return total
		}, cfg)).P)
	}
	between(t, "false positives, means", float64(null)/trials, 0.036, 0.064)
	between(t, "false positives, signs", float64(signs)/trials, 0.036, 0.064)
	between(t, "false positives, pairing", float64(pairing)/trials, 0.036, 0.064)
	between(t, "power at two standard deviations", float64(planted)/trials, 0.9, 1)
}
