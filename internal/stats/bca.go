package stats

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// maxFolds bounds the jackknife's evaluations: beyond it, units are left out in that many interleaved groups.
const maxFolds = 2000

// jackknifeFolds returns the sets of examples to leave out in turn; members(i) are the examples of unit i.
func jackknifeFolds(units int, members func(i int) []int) [][]int {
	folds := make([][]int, min(units, maxFolds))
	for i := range units {
		k := i % len(folds)
		folds[k] = append(folds[k], members(i)...)
	}
	return folds
}

// acceleration estimates how the standard error changes with the estimate, from the jackknife; for strata after Davison and
// Hinkley 1997, section 5.4, which with one stratum is Efron and Tibshirani's eq. (14.15):
//
//	a = 1/6 sum l³/n_k³ / (sum l²/n_k²)^(3/2),  l = (n_k - 1) (mean of the leave-one-outs - leave-one-out)
func (b bootstrap) acceleration(ctx context.Context) (float64, error) {
	left := make([]bool, b.n)
	index := make([]int, 0, b.n)
	var cubes, squares float64
	for _, folds := range b.folds {
		without := make([]float64, len(folds))
		for k, fold := range folds {
			if err := ctx.Err(); err != nil {
				return 0, fmt.Errorf("stats: jackknife stopped: %w", err)
			}
			for _, i := range fold {
				left[i] = true
			}
			index = index[:0]
			for i, out := range left {
				if !out {
					index = append(index, i)
				}
			}
			for _, i := range fold {
				left[i] = false
			}
			without[k] = b.statistic(index)
			if err := checkStatistic(without[k], fmt.Sprintf("the sample without unit %d", k)); err != nil {
				return 0, err
			}
		}
		centre, n := mean(without), float64(len(folds))
		for _, v := range without {
			l := (n - 1) * (centre - v) / n
			squares += l * l
			cubes += l * l * l
		}
	}
	if squares == 0 {
		return 0, nil // a statistic that no example moves has no skewness to correct
	}
	return cubes / (6 * math.Pow(squares, 1.5)), nil
}

// bcaBias is z0, the normal quantile of the share of replicates below the estimate.
func bcaBias(replicates []float64, value float64, method Method) (float64, error) {
	tolerance := 0.0 // replicates equal but for the order of addition
	if method == BCaMidrank {
		for _, v := range replicates {
			tolerance = max(tolerance, 1e-12*math.Abs(v))
		}
	}
	var below, equal float64
	for _, v := range replicates {
		switch {
		case v < value-tolerance:
			below++
		case v <= value+tolerance:
			equal++
		}
	}
	if method == BCaMidrank {
		below += equal / 2
	}
	share := below / float64(len(replicates))
	if share == 0 || share == 1 {
		return 0, fmt.Errorf("stats: BCa interval with %v of the replicates below the estimate: %w; use method %q, or Wilson for a proportion",
			share, ErrDegenerate, Percentile)
	}
	return mathext.NormalQuantile(share), nil
}

// bcaProbability is the level at which the quantile is taken instead of p, eq. (14.10):
// Phi(z0 + (z0 + z_p) / (1 - a (z0 + z_p))).
func bcaProbability(p, bias, acceleration float64) (float64, error) {
	shifted := bias + mathext.NormalQuantile(p)
	scale := 1 - acceleration*shifted
	if scale <= 0 {
		return 0, fmt.Errorf("stats: BCa interval with acceleration %v and bias %v has no end at %v: %w; use method %q",
			acceleration, bias, p, ErrDegenerate, Percentile)
	}
	return normalSF(-(bias + shifted/scale)), nil
}
