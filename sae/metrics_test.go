package sae

import (
	"math"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// TestMetricsByHand has two rows, (1, 0) and (3, 0), reconstructed as (1, 0) and (2, 1): squared errors 0 and 2, mean
// (2, 0), variance 1 + 1.
func TestMetricsByHand(t *testing.T) {
	m := NewMetrics(2, 4)
	err := m.Add([]float32{1, 0, 3, 0}, []float32{1, 0, 2, 1}, Latents{K: 2, Index: []int32{0, 1, 0, 2}, Value: []float32{1, 0, 2, 1}})
	if err != nil {
		t.Fatal(err)
	}
	r := m.Result()
	for name, v := range map[string][2]float64{
		"mse": {r.MSE, 1}, "fvu": {r.FVU, 1}, "explained": {r.Explained, 0}, "l0": {r.L0, 1.5}, "l1": {r.L1, 2},
		"cosine": {r.Cosine, (1 + 2/math.Sqrt(5)) / 2}, "relative bias": {r.RelBias, 6.0 / 7}, "dead": {float64(r.Dead), 2},
		"density": {r.Density[0], 1}, "legacy": {r.ExplainedLegacy, (1 + (1 - 2.0)) / 2}, "uncentred": {r.UncentredFVU, 0.2},
	} {
		if math.Abs(v[0]-v[1]) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, v[0], v[1])
		}
	}
	if r.Histogram.Never != 2 || r.Histogram.Count[13] != 1+1 { // densities 1, 0, 0.5, 0
		t.Errorf("histogram %+v", r.Histogram)
	}
}

// TestFVUDoesNotDependOnBatches measures the same rows in one batch and in many, around a mean so large that the
// textbook formula E x^2 - (E x)^2 would lose every digit of a float32's variance.
func TestFVUDoesNotDependOnBatches(t *testing.T) {
	const d, n = 8, 120
	x := normals(1, n*d)
	y := normals(2, n*d)
	for i := range x {
		y[i] = x[i] + y[i]/4 + 10000
		x[i] += 10000
	}
	var want Result
	for _, batch := range []int{n, 7, 1} {
		m := NewMetrics(d, 3)
		for lo := 0; lo < n; lo += batch {
			hi := min(lo+batch, n)
			if err := m.Add(x[lo*d:hi*d], y[lo*d:hi*d], newLatents(hi-lo, 1)); err != nil {
				t.Fatal(err)
			}
		}
		r := m.Result()
		if batch == n {
			want = r
			if r.FVU < 0.04 || r.FVU > 0.09 { // 1/16 in expectation
				t.Errorf("FVU %v, want about 1/16", r.FVU)
			}
			continue
		}
		near(t, "FVU", r.FVU, want.FVU, 1e-9)
		near(t, "MSE", r.MSE, want.MSE, 1e-12)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	b := graphtest.Backend(t)
	s := &SAE{Arch: ArchTopK, DIn: 2, DSAE: 4, K: 1, Normalize: NormalizeNone, WEnc: make([]float32, 8), WDec: make([]float32, 8), BEnc: make([]float32, 4), BDec: make([]float32, 2)}
	for want, x := range map[string][]float32{
		"row 1, dimension 0 is NaN": {1, 2, float32(math.NaN()), 4},
		"all equal":                 {1, 2, 1, 2},
	} {
		rows, err := NewMemoryRows(x, 2, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Evaluate(t.Context(), b, s, rows, 4, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
