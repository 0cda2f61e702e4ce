package sae

import (
	"context"
	"errors"
	"slices"

	"loupe/internal/stats"
)

// MeanInterval is the mean over examples with its bootstrap interval, which has no width where all values are equal; BCa falls
// back on percentiles where all that varies is rounding.
func MeanInterval(ctx context.Context, values []float64, boot stats.BootstrapConfig) (stats.Interval, error) {
	if len(values) > 0 && slices.Min(values) == slices.Max(values) {
		return stats.Interval{Value: values[0], Low: values[0], High: values[0], Level: boot.Level, N: len(values)}, nil
	}
	return bootstrapOver(ctx, len(values), stats.MeanOf(values), boot)
}

// bootstrapOver is stats.Bootstrap, by percentiles where BCa is undefined because all that varies is rounding.
func bootstrapOver(ctx context.Context, n int, s stats.Statistic, boot stats.BootstrapConfig) (stats.Interval, error) {
	r, err := stats.Bootstrap(ctx, n, s, boot)
	if errors.Is(err, stats.ErrDegenerate) {
		boot.Method = stats.Percentile
		r, err = stats.Bootstrap(ctx, n, s, boot)
	}
	return r.Interval, err
}
