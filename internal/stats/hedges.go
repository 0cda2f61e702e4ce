package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Effect is a standardised mean difference; Interval.Value is Hedges' g.
type Effect struct {
	Interval
	D float64 `json:"cohen_d"`
	J float64 `json:"hedges_j"` // small-sample correction, g = J d
}

// Hedges returns Hedges' g of a against b (two values or more each) with a normal interval:
//
//	d = (mean a - mean b) / s_pooled,  J = 1 - 3/(4 df - 1),  df = n_a + n_b - 2,  g = J d
//	SE² = (n_a + n_b)/(n_a n_b) + g² / (2 (n_a + n_b))
//
// It fails with ErrDegenerate when both samples are constant.
func Hedges(a, b []float64, level float64) (Effect, error) {
	if err := checkLevel(level); err != nil {
		return Effect{}, err
	}
	if err := checkSamples(a, b, 2, checkFinite); err != nil {
		return Effect{}, err
	}
	if constant(a) && constant(b) {
		return Effect{}, fmt.Errorf("stats: Hedges' g of two constant samples: %w", ErrDegenerate)
	}
	ma, mb := mean(a), mean(b)
	na, nb := float64(len(a)), float64(len(b))
	df := na + nb - 2
	pooled := math.Sqrt((variance(a, ma)*(na-1) + variance(b, mb)*(nb-1)) / df)
	e := Effect{D: (ma - mb) / pooled, J: 1 - 3/(4*df-1)}
	g := e.J * e.D
	se := math.Sqrt((na+nb)/(na*nb) + g*g/(2*(na+nb)))
	if err := checkResult("Hedges' g", g, se, pooled); err != nil {
		return Effect{}, err
	}
	z := mathext.NormalQuantile((1 + level) / 2)
	e.Interval = Interval{Value: g, SE: se, Low: g - z*se, High: g + z*se, Level: level, N: len(a) + len(b)}
	return e, nil
}
