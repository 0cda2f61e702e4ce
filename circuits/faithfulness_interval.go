package circuits

import (
	"context"
	"errors"
	"fmt"
	"math"

	"loupe/internal/stats"
)

// FaithfulnessIntervals say how far a curve hangs on its rows. The circuits stay those that all rows chose.
type FaithfulnessIntervals struct {
	F        []stats.Interval // by Points
	CPR, CMD stats.Interval
}

// Intervals resamples the rows of a curve: f, CPR and CMD are ratios of mean losses, so all three means are drawn anew together.
func (f *Faithfulness) Intervals(ctx context.Context, cfg stats.BootstrapConfig) (*FaithfulnessIntervals, error) {
	share := func(index []int, i int) float64 {
		return resampledF(f.FullPerRow, f.EmptyPerRow, f.Points[i].LossPerRow, index)
	}
	area := func(value func(f float64) float64) stats.Statistic {
		return func(index []int) float64 {
			var sum float64
			for i := 1; i < len(f.Points); i++ {
				sum += (f.Points[i].Share - f.Points[i-1].Share) / 2 * (value(share(index, i-1)) + value(share(index, i)))
			}
			return sum
		}
	}
	out := &FaithfulnessIntervals{}
	interval := func(s stats.Statistic, into *stats.Interval) (err error) {
		*into, err = rowInterval(ctx, len(f.FullPerRow), s, cfg)
		return err
	}
	err := errors.Join(interval(area(func(f float64) float64 { return f }), &out.CPR), interval(area(func(f float64) float64 { return math.Abs(1 - f) }), &out.CMD))
	for i := range f.Points {
		var one stats.Interval
		err = errors.Join(err, interval(func(index []int) float64 { return share(index, i) }, &one))
		out.F = append(out.F, one)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// resampledF is (loss - empty) / (full - empty) of the means over the rows listed.
func resampledF(full, empty, loss []float64, index []int) float64 {
	var whole, none, some float64
	for _, r := range index {
		whole, none, some = whole+full[r], none+empty[r], some+loss[r]
	}
	return (some - none) / (whole - none)
}

// rowInterval is the bootstrap interval of a statistic of n rows; of percentiles where BCa is undefined, as where the rows agree.
func rowInterval(ctx context.Context, n int, s stats.Statistic, cfg stats.BootstrapConfig) (stats.Interval, error) {
	r, err := stats.Bootstrap(ctx, n, s, cfg)
	if errors.Is(err, stats.ErrDegenerate) {
		cfg.Method = stats.Percentile
		r, err = stats.Bootstrap(ctx, n, s, cfg)
	}
	if err != nil {
		return stats.Interval{}, fmt.Errorf("circuits: interval of faithfulness over %d rows: %w; is there an effect in every resample?", n, err)
	}
	return r.Interval, nil
}
