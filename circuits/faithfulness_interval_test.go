package circuits

import (
	"math"
	"strings"
	"testing"

	"loupe/internal/stats"
)

// TestFaithfulnessIntervals: two rows in three kinds of resample, by hand; on a curve of two points CPR is the mean of the two f; rows that
// agree leave no width; and a curve without an effect in some resample is an error.
func TestFaithfulnessIntervals(t *testing.T) {
	// row 0 has f 1 of an effect of 4, row 1 f 0 of an effect of 2: together 4/6
	f := &Faithfulness{
		FullPerRow: []float64{-4, -2}, EmptyPerRow: []float64{0, 0},
		Points: []FaithfulnessPoint{{Share: 0, LossPerRow: []float64{-4, 0}}, {Share: 1, LossPerRow: []float64{-4, -2}}},
	}
	cfg := stats.BootstrapConfig{Resamples: 400, Level: 0.95, Method: stats.Percentile}
	got := must[*FaithfulnessIntervals](t)(f.Intervals(t.Context(), cfg))
	near := func(name string, got stats.Interval, value, low, high float64) {
		t.Helper()
		if math.Abs(got.Value-value)+math.Abs(got.Low-low)+math.Abs(got.High-high) > 1e-12 || got.N != 2 {
			t.Errorf("%s: %+v, want %g in %g..%g", name, got, value, low, high)
		}
	}
	near("f", got.F[0], 4/6.0, 0, 1)
	near("f of the whole", got.F[1], 1, 1, 1)
	near("CPR", got.CPR, 5/6.0, 0.5, 1)
	near("CMD", got.CMD, 1/6.0, 0, 0.5)

	cfg.Method = stats.BCa
	same := must[*FaithfulnessIntervals](t)(f.Intervals(t.Context(), cfg))
	near("f of the whole, by BCa", same.F[1], 1, 1, 1)
	f.FullPerRow = []float64{-4, 0}
	if _, err := f.Intervals(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "effect in every resample") {
		t.Errorf("a row without an effect: %v", err)
	}
}
