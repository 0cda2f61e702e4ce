package sae

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/stats"
)

// plantedLatents returns n rows of f sparse latents and labels of which latent 3 is an exact detector, latent 7 one that
// misses 3 in 10, and the others know nothing.
func plantedLatents(t *testing.T, n, f int) (*Sparse, []bool) {
	t.Helper()
	rng := rand.New(rand.NewPCG(2, 5))
	x, y := make([]float32, n*f), make([]bool, n)
	for r := range n {
		y[r] = rng.IntN(2) == 0
		for i := range f {
			x[r*f+i] = max(0, float32(rng.NormFloat64()-1))
		}
		x[r*f+3], x[r*f+7] = 0, 0
		if y[r] {
			x[r*f+3] = 1 + rng.Float32()
			if rng.IntN(10) >= 3 {
				x[r*f+7] = 2
			}
		}
	}
	s, err := SparseOf(x, f)
	if err != nil {
		t.Fatal(err)
	}
	return s, y
}

// TestSparseProbeFindsDetectors: one latent is enough where a perfect detector exists, without it the next best takes its
// place at its own accuracy, and labels that mean nothing give chance.
func TestSparseProbeFindsDetectors(t *testing.T) {
	x, y := plantedLatents(t, 600, 30)
	r, err := SparseProbe(t.Context(), x, y, DefaultProbeConfig())
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(r.Order[:2]); !slices.Equal(r.Order[:2], []int32{3, 7}) {
		t.Errorf("latents in order are %v, want 3 and 7 first", r.Order[:4])
	}
	for _, s := range r.Scores {
		if s.K != 1 && s.Accuracy.Value != 1 {
			t.Errorf("k = %d: accuracy %v of a set with a perfect detector", s.K, s.Accuracy)
		}
	}
	rest := []int32{0, 1, 2, 4, 5, 6, 7, 8, 9, 10}
	if r, err = SparseProbe(t.Context(), x.Columns(rest), y, DefaultProbeConfig()); err != nil {
		t.Fatal(err)
	}
	if a := r.Scores[0].Accuracy; r.Scores[0].Latents[0] != 6 || a.Low > 0.85 || a.High < 0.85 {
		t.Errorf("latent %d with accuracy %+v, want column 6 at 0.85", r.Scores[0].Latents[0], a)
	}
	rng := rand.New(rand.NewPCG(8, 8))
	for i := range y {
		y[i] = rng.IntN(2) == 0
	}
	if r, err = SparseProbe(t.Context(), x, y, DefaultProbeConfig()); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Scores {
		if math.Abs(s.AUC.Value-0.5) > 0.15 {
			t.Errorf("k = %d: AUC %v on random labels", s.K, s.AUC.Value)
		}
	}
}

// TestFitLogisticOptimum: at the optimum the gradient is zero, by central differences of the loss; and scaling C with
// copies of the rows changes nothing.
func TestFitLogisticOptimum(t *testing.T) {
	x, y := plantedLatents(t, 80, 9)
	l, err := FitLogistic(t.Context(), x, y, 2)
	if err != nil {
		t.Fatal(err)
	}
	p := &logisticProblem{x: x, positive: y, c: 2}
	theta := append(slices.Clone(l.Coef), l.Intercept)
	for i := range theta {
		at := theta[i]
		theta[i] = at + 1e-4
		up := p.value(theta)
		theta[i] = at - 1e-4
		down := p.value(theta)
		theta[i] = at
		if g := (up - down) / 2e-4; math.Abs(g) > 1e-6 {
			t.Errorf("gradient %d is %v", i, g)
		}
	}
	twice := &Sparse{Cols: x.Cols, Start: slices.Clone(x.Start), Index: append(slices.Clone(x.Index), x.Index...), Value: append(slices.Clone(x.Value), x.Value...)}
	for _, s := range x.Start[1:] {
		twice.Start = append(twice.Start, s+len(x.Index))
	}
	again, err := FitLogistic(t.Context(), twice, append(slices.Clone(y), y...), 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range l.Coef {
		near(t, "coefficient", again.Coef[i], l.Coef[i], 1e-7)
	}
}

// TestFitLogisticDense: on dense, badly scaled rows the factorised steps end at the optimum: no derivative is left.
func TestFitLogisticDense(t *testing.T) {
	const n, d = 900, 80
	values := normals(6, n*d)
	y := make([]bool, n)
	for r := range n {
		values[r*d] = values[r*d]*100 + 300
		values[r*d+1] += values[r*d] / 50
		y[r] = values[r*d+2]+values[r*d+3]/2 > 0.3 || r%9 == 0
	}
	x, err := SparseOf(values, d)
	if err != nil {
		t.Fatal(err)
	}
	l, err := FitLogistic(t.Context(), x, y, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := &logisticProblem{x: x, positive: y, c: 1, slope: make([]float64, n), diag: make([]float64, d+1)}
	if !p.dense() {
		t.Fatal("the rows do not count as dense")
	}
	for i, g := range p.gradient(append(slices.Clone(l.Coef), l.Intercept)) {
		if math.Abs(g) > 1e-5 {
			t.Errorf("derivative %d is %v", i, g)
		}
	}
}

// TestFitLogisticByHand: two rows x = -1 (negative) and 1 (positive) with C = 1 have b = 0 and w = 2 / (1 + e^w).
func TestFitLogisticByHand(t *testing.T) {
	x := &Sparse{Cols: 1, Start: []int{0, 1, 2}, Index: []int32{0, 0}, Value: []float64{-1, 1}}
	l, err := FitLogistic(t.Context(), x, []bool{false, true}, 1)
	if err != nil {
		t.Fatal(err)
	}
	w := l.Coef[0]
	if math.Abs(w*(1+math.Exp(w))-2) > 1e-9 || math.Abs(l.Intercept) > 1e-9 {
		t.Errorf("w = %v, b = %v", w, l.Intercept)
	}
}

func TestSparseProbeRefuses(t *testing.T) {
	x, y := plantedLatents(t, 40, 9)
	for i := range y {
		y[i] = i < 28 // the test rows have one class
	}
	if _, err := SparseProbe(t.Context(), x, y, DefaultProbeConfig()); !errors.Is(err, stats.ErrDegenerate) {
		t.Errorf("one class: %v", err)
	}
	bad := DefaultProbeConfig()
	bad.TrainShare = 1
	if _, err := SparseProbe(t.Context(), x, y, bad); err == nil {
		t.Error("no test rows")
	}
	if _, err := FitLogistic(t.Context(), x, y[:3], 1); err == nil {
		t.Error("three labels for 40 rows")
	}
}

// TestPoolLatents averages two tokens of text 0 and one of text 2; text 1 has none, and a padding row is left out.
func TestPoolLatents(t *testing.T) {
	lat := Latents{K: 2, Index: []int32{4, 1, 4, 0, 2, 0, 3, 0}, Value: []float32{2, 1, 4, 0, 9, 9, 5, 0}}
	s, err := PoolLatents(lat, 5, []int{0, 0, -1, 2}, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := &Sparse{Cols: 5, Start: []int{0, 2, 2, 3}, Index: []int32{1, 4, 3}, Value: []float64{0.5, 3, 5}}
	if !slices.Equal(s.Start, want.Start) || !slices.Equal(s.Index, want.Index) || !slices.Equal(s.Value, want.Value) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	if c := s.Columns([]int32{4, 1}); !slices.Equal(c.Index, []int32{0, 1}) || !slices.Equal(c.Value, []float64{3, 0.5}) || !slices.Equal(c.Start, []int{0, 2, 2, 2}) {
		t.Errorf("columns 4, 1 are %+v", c)
	}
	if _, err := PoolLatents(lat, 4, []int{0, 0, -1, 2}, 3); err == nil {
		t.Error("latent 4 of 4")
	}
	if _, err := PoolLatents(lat, 5, []int{0, 0, -1, 3}, 3); err == nil {
		t.Error("group 3 of 3")
	}
}
