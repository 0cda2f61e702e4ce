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

// TestMetricsMerge: rows in two metrics that are merged are the same rows in one, around a large mean too.
func TestMetricsMerge(t *testing.T) {
	const d, f, n = 5, 7, 60
	x, y := normals(1, n*d), normals(2, n*d)
	for i := range x {
		x[i], y[i] = x[i]+100, y[i]+100
	}
	lat := newLatents(n, 2)
	for r := range n {
		lat.Index[2*r], lat.Value[2*r] = int32(r%f), float32(r%3)
		lat.Index[2*r+1], lat.Value[2*r+1] = int32((r+1)%f), 1
	}
	whole, a, b := NewMetrics(d, f), NewMetrics(d, f), NewMetrics(d, f)
	for at, m := range map[int]*Metrics{0: a, 20: b} {
		size := 20
		if at == 20 {
			size = 40
		}
		if err := m.Add(x[at*d:(at+size)*d], y[at*d:(at+size)*d], lat.Slice(at, at+size)); err != nil {
			t.Fatal(err)
		}
		if err := whole.Add(x[at*d:(at+size)*d], y[at*d:(at+size)*d], lat.Slice(at, at+size)); err != nil {
			t.Fatal(err)
		}
	}
	merged := NewMetrics(d, f)
	for _, m := range []*Metrics{NewMetrics(d, f), a, b} {
		if err := merged.Merge(m); err != nil {
			t.Fatal(err)
		}
	}
	got, want := merged.Result(), whole.Result()
	for name, v := range map[string][2]float64{
		"l0": {got.L0, want.L0}, "l1": {got.L1, want.L1}, "mse": {got.MSE, want.MSE}, "fvu": {got.FVU, want.FVU}, "cosine": {got.Cosine, want.Cosine},
		"bias": {got.RelBias, want.RelBias}, "ratio": {got.L2Ratio, want.L2Ratio}, "dead": {float64(got.Dead), float64(want.Dead)},
		"legacy": {got.ExplainedLegacy, want.ExplainedLegacy}, "legacy mse": {got.MSELegacy, want.MSELegacy}, "rows": {float64(got.Rows), float64(want.Rows)},
	} {
		near(t, name, v[0], v[1], 1e-10)
	}
	if err := merged.Merge(NewMetrics(d, f+1)); err == nil {
		t.Error("metrics of another dictionary merge")
	}
}

// TestEvaluateTranscoder: rows of a transcoder hold the target after the input, of another width.
func TestEvaluateTranscoder(t *testing.T) {
	const d, f, out, n = 6, 12, 4, 50
	s := exchangeSAE(t, ArchTranscoder, d, f)
	s.DOut, s.WDec, s.BDec = out, normals(3, f*out), normals(4, out)
	x := normals(1, n*d)
	lat, y, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range y {
		y[i] += float32(i%3) / 10
	}
	joint := make([]float32, n*(d+out))
	joinRows(joint, [][]float32{x, y}, []int{d, out})
	rows, err := NewMemoryRows(joint, d+out, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Evaluate(t.Context(), graphtest.Backend(t), s, rows, 16, 0)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mse", r.MSE, float64(0.01+0.04)/3*out, 0.05)
	active := 0.0
	for _, v := range lat.Value {
		if v != 0 {
			active++
		}
	}
	near(t, "l0", r.L0, active/n, 1e-9)
}
