package sae

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"loupe/internal/stats"
)

// Contender is one method with a metric's value for each of its seeds.
type Contender struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

// Ranked is a contender with its place.
type Ranked struct {
	Contender
	Mean stats.Interval `json:"mean"` // Student's t over seeds; with one seed N is 1 and the interval has no width
	Rank int            `json:"rank"` // 1 plus the number of contenders that are better beyond the noise: equal ranks are ties
}

// Rank orders contenders by their means over seeds, the best first. A contender is placed below another only where Welch's
// test between them, corrected over all pairs by Holm's method, is significant at 1 - level; any other order lies inside
// the noise, and with a single seed everything ties. Two contenders whose values are all equal differ if they are unequal.
func Rank(contenders []Contender, higherIsBetter bool, level float64) ([]Ranked, error) {
	if len(contenders) == 0 || !(level > 0 && level < 1) {
		return nil, fmt.Errorf("sae: rank: %d contenders at level %v; give one or more and a level between 0 and 1: %w", len(contenders), level, stats.ErrArgument)
	}
	out := make([]Ranked, len(contenders))
	for i, c := range contenders {
		mean, err := seedInterval(c.Values, level)
		if err != nil {
			return nil, fmt.Errorf("sae: rank: %s: %w", c.Name, err)
		}
		out[i] = Ranked{Contender: c, Mean: mean, Rank: 1}
	}
	sign := 1.0
	if !higherIsBetter {
		sign = -1
	}
	slices.SortStableFunc(out, func(a, b Ranked) int { return cmp.Compare(sign*b.Mean.Value, sign*a.Mean.Value) })
	type pair struct{ better, worse int }
	var pairs []pair
	var p []float64
	for i := range out {
		for j := i + 1; j < len(out); j++ {
			v, err := differ(out[i].Values, out[j].Values)
			if err != nil {
				return nil, fmt.Errorf("sae: rank: %s against %s: %w", out[i].Name, out[j].Name, err)
			}
			pairs, p = append(pairs, pair{i, j}), append(p, v)
		}
	}
	if len(pairs) == 0 {
		return out, nil
	}
	p, err := stats.Holm(p)
	if err != nil {
		return nil, fmt.Errorf("sae: rank: %w", err)
	}
	for i, at := range pairs {
		if p[i] < 1-level {
			out[at.worse].Rank++
		}
	}
	return out, nil
}

// differ is the two-sided p value of Welch's test, 1 where a side has one value.
func differ(a, b []float64) (float64, error) {
	if len(a) < 2 || len(b) < 2 {
		return 1, nil
	}
	t, err := stats.Welch(a, b)
	if errors.Is(err, stats.ErrDegenerate) { // both constant
		if a[0] == b[0] {
			return 1, nil
		}
		return 0, nil
	}
	return t.P, err
}

// seedInterval is the mean of values with Student's interval.
func seedInterval(values []float64, level float64) (stats.Interval, error) {
	n := len(values)
	if n == 0 {
		return stats.Interval{}, fmt.Errorf("no values: %w", stats.ErrTooFew)
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return stats.Interval{}, fmt.Errorf("value %d is %v: %w", i, v, stats.ErrNotFinite)
		}
	}
	mean := stat.Mean(values, nil)
	out := stats.Interval{Value: mean, Low: mean, High: mean, Level: level, N: n}
	if n > 1 {
		out.SE = stat.StdErr(stat.StdDev(values, nil), float64(n))
		t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile((1 + level) / 2)
		out.Low, out.High = mean-t*out.SE, mean+t*out.SE
	}
	return out, nil
}
