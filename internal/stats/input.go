package stats

import (
	"errors"
	"fmt"
	"math"
)

// The four reasons for which a statistic is refused; every error of this package wraps one of them or a context's error.
var (
	ErrTooFew     = errors.New("too few observations")
	ErrNotFinite  = errors.New("value is not finite")
	ErrDegenerate = errors.New("statistic is undefined for these data")
	ErrArgument   = errors.New("argument out of range")
)

// Alternative is the direction in which a test looks.
type Alternative string

// The alternatives: the first sample differs from, exceeds or falls below the second (or zero).
const (
	TwoSided Alternative = "two-sided"
	Greater  Alternative = "greater"
	Less     Alternative = "less"
)

// Interval is an estimate with its confidence interval.
type Interval struct {
	Value float64 `json:"value"` // the estimate on the data as they are
	SE    float64 `json:"se"`    // its standard error; 0 where the method (Wilson, Newcombe) has none
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Level float64 `json:"level"` // confidence level, 0.95 for 95 %
	N     int     `json:"n"`     // independent units: examples, clusters or seeds, as the method draws them
}

func checkCount(what string, got, least int) error {
	if got < least {
		return fmt.Errorf("stats: %s has %d values and needs at least %d: %w", what, got, least, ErrTooFew)
	}
	return nil
}

func checkLengths(a string, na int, b string, nb int) error {
	if na != nb {
		return fmt.Errorf("stats: %s has %d values and %s has %d: %w; they must pair one to one", a, na, b, nb, ErrArgument)
	}
	return nil
}

func checkLevel(level float64) error {
	if !(level > 0 && level < 1) {
		return fmt.Errorf("stats: confidence level is %v: %w; give a value between 0 and 1 such as 0.95", level, ErrArgument)
	}
	return nil
}

// checkFinite is for statistics of moments.
func checkFinite(what string, x []float64) error {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return notFinite(what, i, v)
		}
	}
	return nil
}

// checkOrdered is for statistics of ranks, which are well defined with infinities.
func checkOrdered(what string, x []float64) error {
	for i, v := range x {
		if math.IsNaN(v) {
			return notFinite(what, i, v)
		}
	}
	return nil
}

func notFinite(what string, i int, v float64) error {
	return fmt.Errorf("stats: %s[%d] is %v: %w; drop the observation or repair what produced it", what, i, v, ErrNotFinite)
}

// checkResult refuses what overflow or cancellation made of valid input.
func checkResult(what string, values ...float64) error {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("stats: %s came out as %v: %w; the values may be too large to square, so rescale them", what, v, ErrDegenerate)
		}
	}
	return nil
}

func constant(x []float64) bool {
	for _, v := range x {
		if v != x[0] {
			return false
		}
	}
	return true
}
