package lab

import (
	"context"
	"fmt"

	"loupe/internal/report"
	"loupe/internal/stats"
)

// Level of every interval.
const Level = 0.95

// Bootstrap returns the percentile-type settings of a run; equal seeds give equal intervals.
func Bootstrap(seed int64) stats.BootstrapConfig {
	c := stats.DefaultBootstrap()
	c.Level, c.Method, c.Seed = Level, stats.Percentile, uint64(seed)
	return c
}

// MeanOver returns the mean of x with an interval from resampling whole clusters; cluster is the label of each value.
func MeanOver(ctx context.Context, x []float64, cluster []int, seed int64) (stats.Interval, error) {
	r, err := stats.BootstrapClusters(ctx, cluster, stats.MeanOf(x), Bootstrap(seed))
	if err != nil {
		return stats.Interval{}, fmt.Errorf("lab: %w", err)
	}
	return r.Interval, nil
}

// UpTo returns 0 to n-1: all texts, or clusters of one text each.
func UpTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Minus returns a - b element by element.
func Minus(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}

// Cell is an interval as a cell of a report's table.
func Cell(i stats.Interval) report.Interval {
	return report.Interval{Value: i.Value, Low: i.Low, High: i.High, N: i.N}
}

// Short prints an interval as a cell of a summary.
func Short(i stats.Interval) string { return fmt.Sprintf("%.3f [%.3f, %.3f]", i.Value, i.Low, i.High) }
