package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/stats"
)

func TestMultipleHand(t *testing.T) {
	p := []float64{0.01, 0.04, 0.03}
	tests := []struct {
		name   string
		adjust func([]float64) ([]float64, error)
		want   []float64
	}{
		{"Holm", stats.Holm, []float64{0.03, 0.06, 0.06}},
		{"Benjamini-Hochberg", stats.BenjaminiHochberg, []float64{0.03, 0.04, 0.04}},
		{"Benjamini-Yekutieli", stats.BenjaminiYekutieli, []float64{0.055, 0.22 / 3, 0.22 / 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := must[[]float64](t)(test.adjust(p))
			for i := range got {
				near(t, "adjusted", got[i], test.want[i], 1e-14)
			}
			single := must[[]float64](t)(test.adjust([]float64{0.2}))
			near(t, "a single test", single[0], 0.2, 1e-14)
			for _, v := range must[[]float64](t)(test.adjust([]float64{0.9, 0.8, 1})) {
				between(t, "adjusted", v, 0.8, 1)
			}
			checkAdjusted(t, test.adjust)
		})
	}
}

// checkAdjusted: an adjusted value is no smaller than the raw one, keeps the order, and moves with its test.
func checkAdjusted(t *testing.T, adjust func([]float64) ([]float64, error)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 4))
	p := make([]float64, 30)
	for i := range p {
		p[i] = math.Pow(rng.Float64(), 3)
	}
	p[3] = p[7]
	got := must[[]float64](t)(adjust(p))
	for i := range p {
		if got[i] < p[i] || got[i] > 1 {
			t.Errorf("p %v became %v", p[i], got[i])
		}
		for j := range p {
			if p[i] <= p[j] && got[i] > got[j] {
				t.Errorf("p %v <= %v became %v > %v", p[i], p[j], got[i], got[j])
			}
		}
	}
	order := rng.Perm(len(p))
	shuffled := make([]float64, len(p))
	for i, k := range order {
		shuffled[i] = p[k]
	}
	for i, v := range must[[]float64](t)(adjust(shuffled)) {
		if v != got[order[i]] {
			t.Errorf("shuffled p %v became %v, before %v", shuffled[i], v, got[order[i]])
		}
	}
}

// TestMultipleControls plants 15 true effects among 40 tests and counts false rejections at 0.05.
func TestMultipleControls(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 4))
	const trials, tests, effects = 1500, 40, 15
	var familywise, holmFound, fdr, bhFound float64
	for range trials {
		p := make([]float64, tests)
		for i := range p {
			z := rng.NormFloat64()
			if i < effects {
				z += 3
			}
			p[i] = math.Erfc(z/math.Sqrt2) / 2
		}
		rejected := func(adjusted []float64) (real, spurious float64) {
			for i, v := range adjusted {
				switch {
				case v > 0.05:
				case i < effects:
					real++
				default:
					spurious++
				}
			}
			return real, spurious
		}
		found, spurious := rejected(must[[]float64](t)(stats.Holm(p)))
		holmFound += found / effects
		familywise += min(1, spurious)
		found, spurious = rejected(must[[]float64](t)(stats.BenjaminiHochberg(p)))
		bhFound += found / effects
		fdr += spurious / max(1, found+spurious)
	}
	between(t, "family-wise error of Holm", familywise/trials, 0.015, 0.05)
	between(t, "false discovery rate of BH", fdr/trials, 0.02, 0.04) // 0.05 times 25 nulls of 40 = 0.031
	between(t, "power of Holm", holmFound/trials, 0.4, 1)
	between(t, "power of BH", bhFound/trials, holmFound/trials, 1)
}

func TestHolmDependsOnAll(t *testing.T) {
	p := []float64{0.01, 0.02, 0.03}
	want := []float64{0.03, 0.04, 0.04}
	got := must[[]float64](t)(stats.Holm(p))
	if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-14 }) {
		t.Errorf("Holm(%v) = %v, want %v", p, got, want)
	}
}
