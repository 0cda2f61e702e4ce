package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"loupe/internal/stats"
)

func TestAUCHand(t *testing.T) {
	scores, positive := []float64{0.1, 0.4, 0.4, 0.8}, []bool{false, false, true, true}
	// Pairs won: 1, 1/2, 1, 1 of 4. Placements are 3/4, 1 and 1, 3/4, each with variance 1/32.
	r := must[stats.Interval](t)(stats.AUCDeLong(scores, positive, 0.95))
	near(t, "AUC", r.Value, 3.5/4, 1e-15)
	near(t, "SE", r.SE, math.Sqrt(1.0/32), 1e-14)
	near(t, "high", r.High, 1, 0)
	near(t, "low", r.Low, 0.875-1.959963984540054/math.Sqrt(32), 1e-14)
	near(t, "all tied", must[float64](t)(stats.AUC([]float64{2, 2, 2}, []bool{true, false, true})), 0.5, 0)
	near(t, "infinite scores", must[float64](t)(stats.AUC([]float64{math.Inf(-1), 0, inf}, []bool{false, false, true})), 1, 0)
}

func TestAUCProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	n := 60
	scores, mapped, negated := make([]float64, n), make([]float64, n), make([]float64, n)
	positive, flipped := make([]bool, n), make([]bool, n)
	for i := range n {
		positive[i] = i%3 == 0
		flipped[i] = !positive[i]
		scores[i] = math.Round(2 * rng.NormFloat64())
		if positive[i] {
			scores[i]++
		}
		mapped[i], negated[i] = math.Exp(scores[i]), -scores[i]
	}
	type method func(scores []float64, positive []bool, level float64) (stats.Interval, error)
	for name, f := range map[string]method{"DeLong": stats.AUCDeLong, "Newcombe": stats.AUCNewcombe} {
		want := must[stats.Interval](t)(f(scores, positive, 0.95))
		if got := must[stats.Interval](t)(f(mapped, positive, 0.95)); got != want {
			t.Errorf("%s after a monotone map %+v, before %+v", name, got, want)
		}
		for _, mirror := range []stats.Interval{
			must[stats.Interval](t)(f(negated, positive, 0.95)),
			must[stats.Interval](t)(f(scores, flipped, 0.95)),
		} {
			near(t, name+" mirrored", mirror.Value, 1-want.Value, 1e-14)
			near(t, name+" mirrored low", mirror.Low, 1-want.High, 1e-12)
			near(t, name+" mirrored high", mirror.High, 1-want.Low, 1e-12)
		}
		wide := must[stats.Interval](t)(f(scores, positive, 0.99))
		if !(wide.Low < want.Low && want.High < wide.High) {
			t.Errorf("%s at 99 %% [%v, %v] is not wider than at 95 %% [%v, %v]", name, wide.Low, wide.High, want.Low, want.High)
		}
	}
}

// TestNewcombeHand: with theta at an end, |AUC - theta| = z sqrt(V(theta)). For separated classes of 5 and 5, V is
// theta (1-theta) (1 + 4 ((1-theta)/(2-theta) + theta/(1+theta))) / 25.
func TestNewcombeHand(t *testing.T) {
	scores := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	positive := []bool{false, false, false, false, false, true, true, true, true, true}
	r := must[stats.Interval](t)(stats.AUCNewcombe(scores, positive, 0.95))
	near(t, "high", r.High, 1, 1e-12)
	th := r.Low
	v := th * (1 - th) * (1 + 4*((1-th)/(2-th)+th/(1+th))) / 25
	near(t, "squared distance", (1-th)*(1-th), 1.959963984540054*1.959963984540054*v, 1e-12)
	between(t, "low", r.Low, 0.55, 0.8)
}

func TestAUCBootstrapReplicates(t *testing.T) {
	scores := []float64{1, 2, 2, 3, 5, 5, 6, 8}
	positive := []bool{false, true, false, false, true, false, true, true}
	cfg := stats.DefaultBootstrap()
	cfg.Resamples, cfg.Method = 300, stats.Percentile
	fast := must[stats.BootstrapResult](t)(stats.AUCBootstrap(ctx, scores, positive, cfg))
	stratum := []int{0, 1, 0, 0, 1, 0, 1, 1}
	slow := must[stats.BootstrapResult](t)(stats.BootstrapStrata(ctx, stratum, func(index []int) float64 {
		var s []float64
		var p []bool
		for _, i := range index {
			s, p = append(s, scores[i]), append(p, positive[i])
		}
		return must[float64](t)(stats.AUC(s, p))
	}, cfg))
	for i := range fast.Replicates {
		near(t, "replicate", fast.Replicates[i], slow.Replicates[i], 1e-14)
	}
	near(t, "value", fast.Value, slow.Value, 1e-14)
}

// TestAUCCovers plants normal scores one and two standard deviations apart, so that the AUC is Phi(shift / sqrt 2).
func TestAUCCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 5))
	const trials = 500
	for _, shift := range []float64{1, 2} {
		truth := math.Erfc(-shift/2) / 2
		covered := map[string]int{}
		for trial := range trials {
			scores := append(normals(rng, 25, shift), normals(rng, 40, 0)...)
			positive := make([]bool, len(scores))
			for i := range 25 {
				positive[i] = true
			}
			cfg := stats.BootstrapConfig{Resamples: 300, Level: 0.95, Method: stats.BCaMidrank, Seed: uint64(trial)}
			for name, r := range map[string]stats.Interval{
				"DeLong":    must[stats.Interval](t)(stats.AUCDeLong(scores, positive, 0.95)),
				"Newcombe":  must[stats.Interval](t)(stats.AUCNewcombe(scores, positive, 0.95)),
				"bootstrap": must[stats.BootstrapResult](t)(stats.AUCBootstrap(ctx, scores, positive, cfg)).Interval,
			} {
				if r.Low <= truth && truth <= r.High {
					covered[name]++
				}
			}
		}
		// DeLong's normal interval is known to fall short near 1 (its doc says so); the other two must not.
		between(t, "DeLong coverage", float64(covered["DeLong"])/trials, 0.88, 0.97)
		between(t, "Newcombe coverage", float64(covered["Newcombe"])/trials, 0.925, 0.985)
		between(t, "bootstrap coverage", float64(covered["bootstrap"])/trials, 0.925, 0.985)
	}
}
