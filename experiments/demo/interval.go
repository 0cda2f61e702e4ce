package demo

import (
	"context"
	"errors"
	"fmt"

	"loupe/internal/lab"
	"loupe/internal/stats"
)

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
	r, err := stats.BootstrapClusters(ctx, cluster, statistic, lab.Bootstrap(seed))
	if err = errors.Join(failed, err); err == nil && r.Low < r.High {
		return r.Interval, nil
	}
	if err != nil && !errors.Is(err, stats.ErrDegenerate) {
		return stats.Interval{}, fmt.Errorf("demo: AUC: %w", err)
	}
	i, err := stats.AUCNewcombe(scores, positive, lab.Level)
	if err != nil {
		return stats.Interval{}, fmt.Errorf("demo: AUC: %w", err)
	}
	return i, nil
}

// accuracyOver returns the share of ones in hit, with an interval from resampling whole clusters or, where all are equal,
// Wilson's over single texts, which has width.
func accuracyOver(ctx context.Context, hit []float64, cluster []int, seed int64) (stats.Interval, error) {
	i, err := lab.MeanOver(ctx, hit, cluster, seed)
	if err != nil || i.Low < i.High {
		return i, err
	}
	ones := 0
	for _, h := range hit {
		ones += int(h)
	}
	if i, err = stats.Wilson(ones, len(hit), lab.Level); err != nil {
		return i, fmt.Errorf("demo: %w", err)
	}
	return i, nil
}
