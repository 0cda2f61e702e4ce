package demo

import (
	"context"
	"errors"
	"fmt"
	"math"

	"loupe/internal/expect"
	"loupe/internal/stats"
)

// level of every interval.
const level = 0.95

// bootstrapOf returns the 95 % percentile-type settings of this run; equal seeds give equal intervals.
func bootstrapOf(seed int64) stats.BootstrapConfig {
	c := stats.DefaultBootstrap()
	c.Level, c.Method, c.Seed = level, stats.Percentile, uint64(seed)
	return c
}

// meanOver returns the mean of x with an interval from resampling whole clusters; cluster is the label of each value.
func meanOver(ctx context.Context, x []float64, cluster []int, seed int64) (stats.Interval, error) {
	r, err := stats.BootstrapClusters(ctx, cluster, stats.MeanOf(x), bootstrapOf(seed))
	if err != nil {
		return stats.Interval{}, fmt.Errorf("demo: %w", err)
	}
	return r.Interval, nil
}

// upTo returns 0 to n-1: all texts, or clusters of one text each.
func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// aucOver returns the AUC with an interval from resampling whole clusters, each of which must hold both classes. Where
// every resample gives the same value (separated classes) the interval is Newcombe's over single texts, which has width.
func aucOver(ctx context.Context, scores []float64, positive []bool, cluster []int, seed int64) (stats.Interval, error) {
	var failed error
	statistic := func(index []int) float64 {
		s, p := make([]float64, len(index)), make([]bool, len(index))
		for i, j := range index {
			s[i], p[i] = scores[j], positive[j]
		}
		v, err := stats.AUC(s, p)
		failed = errors.Join(failed, err)
		return v
	}
	r, err := stats.BootstrapClusters(ctx, cluster, statistic, bootstrapOf(seed))
	if err = errors.Join(failed, err); err == nil && r.Low < r.High {
		return r.Interval, nil
	}
	if err != nil && !errors.Is(err, stats.ErrDegenerate) {
		return stats.Interval{}, fmt.Errorf("demo: AUC: %w", err)
	}
	i, err := stats.AUCNewcombe(scores, positive, level)
	if err != nil {
		return stats.Interval{}, fmt.Errorf("demo: AUC: %w", err)
	}
	return i, nil
}

// accuracyOver returns the share of ones in hit, with an interval from resampling whole clusters or, where all are equal,
// Wilson's over single texts, which has width.
func accuracyOver(ctx context.Context, hit []float64, cluster []int, seed int64) (stats.Interval, error) {
	i, err := meanOver(ctx, hit, cluster, seed)
	if err != nil || i.Low < i.High {
		return i, err
	}
	ones := 0
	for _, h := range hit {
		ones += int(h)
	}
	if i, err = stats.Wilson(ones, len(hit), level); err != nil {
		return i, fmt.Errorf("demo: %w", err)
	}
	return i, nil
}

// metric is an interval as the expectations read it.
func metric(i stats.Interval) expect.Metric {
	return expect.Metric{Value: i.Value, Low: i.Low, High: i.High}
}

// plain is a metric without an interval.
func plain(v float64) expect.Metric {
	return expect.Metric{Value: v, Low: math.NaN(), High: math.NaN()}
}

// minus returns a - b element by element.
func minus(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}
