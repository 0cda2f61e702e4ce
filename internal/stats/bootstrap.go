package stats

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Statistic computes a number from the examples that index names, some perhaps several times; index is only lent. It is
// called from one goroutine, first with every example once.
type Statistic func(index []int) float64

// MeanOf is the mean of x over the chosen examples.
func MeanOf(x []float64) Statistic {
	var chosen []float64
	return func(index []int) float64 {
		chosen = chosen[:0]
		for _, i := range index {
			chosen = append(chosen, x[i])
		}
		return mean(chosen)
	}
}

// Method is the way from replicates to an interval.
type Method string

// The methods. Percentile takes the quantiles of the replicates. BCa also corrects bias and skewness; its bias counts the
// replicates below the estimate (Efron and Tibshirani 1993, eq. 14.14). BCaMidrank counts those equal to it half, as is
// right for statistics with few distinct values (accuracies, medians, AUCs of small classes).
const (
	Percentile Method = "percentile"
	BCa        Method = "bca"
	BCaMidrank Method = "bca-midrank"
)

// BootstrapConfig says how to draw and how to read the replicates.
type BootstrapConfig struct {
	Resamples int     `json:"resamples" yaml:"resamples"`
	Level     float64 `json:"level" yaml:"level"`
	Method    Method  `json:"method" yaml:"method"`
	Seed      uint64  `json:"seed" yaml:"seed"`
}

// DefaultBootstrap returns 95 % BCa intervals from 2,000 resamples, the number that Efron and Tibshirani advise for BCa.
func DefaultBootstrap() BootstrapConfig {
	return BootstrapConfig{Resamples: 2000, Level: 0.95, Method: BCa}
}

// Validate names the field that is out of range.
func (c BootstrapConfig) Validate() error {
	if c.Resamples < 2 {
		return fmt.Errorf("stats: bootstrap resamples is %d: %w; 2000 is usual", c.Resamples, ErrArgument)
	}
	switch c.Method {
	case Percentile, BCa, BCaMidrank:
	default:
		return fmt.Errorf("stats: bootstrap method is %q: %w; known are %q, %q, %q", c.Method, ErrArgument, Percentile, BCa, BCaMidrank)
	}
	return checkLevel(c.Level)
}

// BootstrapResult is an interval with the replicates behind it; Interval.SE is their standard deviation.
type BootstrapResult struct {
	Interval
	Replicates []float64 `json:"-"` // in the order drawn
}

// Bootstrap returns the interval of s over n independent examples.
func Bootstrap(ctx context.Context, n int, s Statistic, cfg BootstrapConfig) (BootstrapResult, error) {
	return BootstrapStrata(ctx, make([]int, max(0, n)), s, cfg)
}

// BootstrapStrata draws within strata, each keeping its size: stratum is [n], the label of each example. Use it where the
// design fixes the sizes, as with classes that were balanced on purpose. Each stratum needs two examples.
func BootstrapStrata(ctx context.Context, stratum []int, s Statistic, cfg BootstrapConfig) (BootstrapResult, error) {
	if err := cfg.Validate(); err != nil {
		return BootstrapResult{}, err
	}
	if err := checkCount("the sample", len(stratum), 2); err != nil {
		return BootstrapResult{}, err
	}
	strata := group(stratum)
	for k, members := range strata {
		if err := checkCount(fmt.Sprintf("the stratum labelled %d (number %d)", stratum[members[0]], k), len(members), 2); err != nil {
			return BootstrapResult{}, err
		}
	}
	rng := newRand(cfg.Seed)
	b := bootstrap{n: len(stratum), units: len(stratum), statistic: s, cfg: cfg}
	b.draw = func(dst []int) []int {
		for _, members := range strata {
			for range members {
				dst = append(dst, members[rng.IntN(len(members))])
			}
		}
		return dst
	}
	for _, members := range strata {
		b.folds = append(b.folds, jackknifeFolds(len(members), func(i int) []int { return members[i : i+1] }))
	}
	return b.run(ctx)
}

// BootstrapFrom uses given resamples: index is [resamples][], example numbers in [0, n). cfg.Resamples and cfg.Seed are not read.
func BootstrapFrom(ctx context.Context, n int, index [][]int, s Statistic, cfg BootstrapConfig) (BootstrapResult, error) {
	cfg.Resamples = len(index)
	if err := cfg.Validate(); err != nil {
		return BootstrapResult{}, err
	}
	if err := checkCount("the sample", n, 2); err != nil {
		return BootstrapResult{}, err
	}
	for r, row := range index {
		if err := checkCount(fmt.Sprintf("resample %d", r), len(row), 1); err != nil {
			return BootstrapResult{}, err
		}
		for _, i := range row {
			if i < 0 || i >= n {
				return BootstrapResult{}, fmt.Errorf("stats: resample %d names example %d of %d: %w", r, i, n, ErrArgument)
			}
		}
	}
	b := bootstrap{n: n, units: n, statistic: s, cfg: cfg}
	next := 0
	b.draw = func(dst []int) []int {
		next++
		return append(dst, index[next-1]...)
	}
	b.folds = [][][]int{jackknifeFolds(n, func(i int) []int { return []int{i} })}
	return b.run(ctx)
}

// bootstrap is one plan of resampling.
type bootstrap struct {
	n, units  int // examples; independent units
	statistic Statistic
	draw      func(dst []int) []int // appends one resample
	folds     [][][]int             // per stratum, the sets of examples that the jackknife leaves out in turn
	cfg       BootstrapConfig
}

func (b bootstrap) run(ctx context.Context) (BootstrapResult, error) {
	index := make([]int, b.n)
	for i := range index {
		index[i] = i
	}
	value := b.statistic(index)
	if err := checkStatistic(value, "the whole sample"); err != nil {
		return BootstrapResult{}, err
	}
	replicates := make([]float64, b.cfg.Resamples)
	for r := range replicates {
		if err := ctx.Err(); err != nil {
			return BootstrapResult{}, fmt.Errorf("stats: bootstrap stopped after %d of %d resamples: %w", r, len(replicates), err)
		}
		index = b.draw(index[:0])
		replicates[r] = b.statistic(index)
		if err := checkStatistic(replicates[r], fmt.Sprintf("resample %d", r)); err != nil {
			return BootstrapResult{}, err
		}
	}
	acceleration := 0.0
	if b.cfg.Method != Percentile {
		var err error
		if acceleration, err = b.acceleration(ctx); err != nil {
			return BootstrapResult{}, err
		}
	}
	low, high, err := ends(replicates, value, acceleration, b.cfg)
	if err != nil {
		return BootstrapResult{}, err
	}
	se := math.Sqrt(variance(replicates, mean(replicates)))
	return BootstrapResult{
		Interval:   Interval{Value: value, SE: se, Low: low, High: high, Level: b.cfg.Level, N: b.units},
		Replicates: replicates,
	}, nil
}

// ends reads the interval off the replicates.
func ends(replicates []float64, value, acceleration float64, cfg BootstrapConfig) (low, high float64, err error) {
	pLow, pHigh := (1-cfg.Level)/2, (1+cfg.Level)/2
	if cfg.Method != Percentile {
		bias, err := bcaBias(replicates, value, cfg.Method)
		if err != nil {
			return 0, 0, err
		}
		if pLow, err = bcaProbability(pLow, bias, acceleration); err != nil {
			return 0, 0, err
		}
		if pHigh, err = bcaProbability(pHigh, bias, acceleration); err != nil {
			return 0, 0, err
		}
	}
	sorted := slices.Sorted(slices.Values(replicates))
	return quantile(sorted, pLow), quantile(sorted, pHigh), nil
}

func checkStatistic(v float64, where string) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("stats: the bootstrapped statistic is %v on %s: %w; make it finite there, or keep class sizes with BootstrapStrata",
			v, where, ErrNotFinite)
	}
	return nil
}

// group gathers example numbers by label, labels in order of first appearance.
func group(label []int) [][]int {
	var groups [][]int
	place := make(map[int]int)
	for i, l := range label {
		k, seen := place[l]
		if !seen {
			k = len(groups)
			place[l] = k
			groups = append(groups, nil)
		}
		groups[k] = append(groups[k], i)
	}
	return groups
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x6c6f757065)) }
