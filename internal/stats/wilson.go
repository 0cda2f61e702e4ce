package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Wilson returns the proportion successes/n with Wilson's score interval, which keeps its coverage near 0 and 1 and has
// width there, unlike p ± z se:
//
//	(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
func Wilson(successes, n int, level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	if n < 1 {
		return Interval{}, fmt.Errorf("stats: proportion of %d trials: %w", n, ErrTooFew)
	}
	if successes < 0 || successes > n {
		return Interval{}, fmt.Errorf("stats: %d successes of %d trials: %w", successes, n, ErrArgument)
	}
	p, m := float64(successes)/float64(n), float64(n)
	z := mathext.NormalQuantile((1 + level) / 2)
	centre := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	scale := 1 + z*z/m
	r := Interval{Value: p, Low: (centre - half) / scale, High: (centre + half) / scale, Level: level, N: n}
	if successes == 0 {
		r.Low = 0
	}
	if successes == n {
		r.High = 1
	}
	return r, nil
}
