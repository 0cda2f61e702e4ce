package probe

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"loupe/vectors"
)

// plantedRows are standard normal rows, a planted direction, and labels from it with noise.
func plantedRows(n, d int) (Rows, []bool, []float64) {
	rng := rand.New(rand.NewPCG(7, 8))
	x := Rows{N: n, D: d, Values: normal32(rng, n*d)}
	w := make([]float64, d)
	for j := range w {
		w[j] = rng.NormFloat64() / math.Sqrt(float64(d))
	}
	y := make([]bool, n)
	for i := range y {
		s := 0.5 * rng.NormFloat64()
		for j, v := range x.Row(i) {
			s += float64(v) * w[j]
		}
		y[i] = s > 0
	}
	return x, y, w
}

// TestLogisticIsTheOptimum: the objective is that of the exact fit in float64, and the planted direction is found.
func TestLogisticIsTheOptimum(t *testing.T) {
	x, y, truth := plantedRows(2000, 40)
	target := NewBinary("planted", y)
	got, err := Logistic(t.Context(), x, []Target{target}, LogisticConfig{C: 1, Tolerance: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	want, err := vectors.Logistic(t.Context(), x.Dense(), target.Class, 1)
	if err != nil {
		t.Fatal(err)
	}
	if rel := got[0].Objective/want.Objective - 1; math.Abs(rel) > 1e-7 {
		t.Errorf("objective %v, exact %v", got[0].Objective, want.Objective)
	}
	c, err := vectors.Cosine(got[0].Direction(0), truth)
	if err != nil || c < 0.98 {
		t.Errorf("cosine with the planted direction %v, %v", c, err)
	}
	t.Logf("relative error of the objective %.1e after %d evaluations, cosine with the planted direction %.4f", got[0].Objective/want.Objective-1, got[0].Evaluations, c)
}

// TestLogisticByHand: two rows x = -1 (class 0) and 1 (class 1) with C = 1 have b = 0 and w = 2/(1 + e^w).
func TestLogisticByHand(t *testing.T) {
	l, err := Logistic(t.Context(), Rows{N: 2, D: 1, Values: []float32{-1, 1}}, []Target{NewBinary("y", []bool{false, true})}, LogisticConfig{C: 1, Tolerance: 1e-12})
	if err != nil {
		t.Fatal(err)
	}
	w := l[0].Weights[0]
	if math.Abs(w-2/(1+math.Exp(w))) > 1e-6 || math.Abs(l[0].Bias[0]) > 1e-6 {
		t.Errorf("w = %v, b = %v", w, l[0].Bias[0])
	}
}

// TestLogisticTogether: what is fitted beside a target, and the number of processors, do not change a bit of its fit; a
// target that labels some rows alone has the fit of those rows.
func TestLogisticTogether(t *testing.T) {
	x, y, _ := plantedRows(700, 33)
	rng := rand.New(rand.NewPCG(1, 1))
	targets := []Target{NewBinary("planted", y)}
	for range 4 {
		targets = append(targets, ShuffledLabels(targets[0], nil, rng.Uint64()))
	}
	cfg := LogisticConfig{C: 0.3, Standardize: true, Tolerance: 1e-8}
	together, err := Logistic(t.Context(), x, targets, cfg)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	for i, target := range targets {
		alone, err := Logistic(t.Context(), x, []Target{target}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone[0].Weights, together[i].Weights) {
			t.Errorf("target %d: fitted with others its weights differ", i)
		}
	}
	part := upTo(400)
	own, err := Logistic(t.Context(), x.Take(part), []Target{targets[0].Take(part)}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	some, err := Logistic(t.Context(), x, []Target{masked(targets[0], upTo(700)[400:])}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(own[0].Objective-some[0].Objective) > 1e-6*own[0].Objective {
		t.Errorf("objective %v over labelled rows alone, %v with unlabelled ones beside", own[0].Objective, some[0].Objective)
	}
}

// TestLogisticStandardize: standardising the activations first gives the same scores.
func TestLogisticStandardize(t *testing.T) {
	x, y, _ := plantedRows(500, 12)
	for i := range x.N {
		for j := range x.D {
			x.Row(i)[j] = (x.Row(i)[j] + 100) * float32(math.Pow(10, float64(j%5-2)))
		}
	}
	target := []Target{NewBinary("y", y)}
	raw, err := Logistic(t.Context(), x, target, LogisticConfig{C: 0.1, Standardize: true, Tolerance: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	mean, deviation := x.spread(nil)
	u := Rows{N: x.N, D: x.D, Values: appendFloat32(nil, frame{mean, deviation}.apply(x))}
	own, err := Logistic(t.Context(), u, target, LogisticConfig{C: 0.1, Tolerance: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	a, errA := raw[0].Scores(x)
	b, errB := own[0].Scores(u)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	// activations 100 standard deviations from 0 lose two of float32's seven digits
	near(t, "scores", a, b, 1e-3)
	if rel := raw[0].Objective/own[0].Objective - 1; math.Abs(rel) > 1e-5 {
		t.Errorf("objectives %v and %v", raw[0].Objective, own[0].Objective)
	}
}

func TestLogisticCancelled(t *testing.T) {
	x, y, _ := plantedRows(300, 20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Logistic(ctx, x, []Target{NewBinary("y", y)}, DefaultLogistic()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestMultinomialOfTwo: two classes have half the logistic probe's weights each, of opposite sign, when C is doubled.
func TestMultinomialOfTwo(t *testing.T) {
	x, y, _ := plantedRows(400, 10)
	binary := NewBinary("y", y)
	two := Target{Name: "y", Task: Multiclass, Class: binary.Class, Classes: binary.Classes}
	l, err := Logistic(t.Context(), x, []Target{binary}, LogisticConfig{C: 1, Tolerance: 1e-10})
	if err != nil {
		t.Fatal(err)
	}
	// |W|² = 2 (w/2)² = |w|²/2, so that the penalty is half the logistic one
	m, err := Multinomial(t.Context(), x, []Target{two}, LogisticConfig{C: 0.5, Tolerance: 1e-10})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "weights", difference(m[0]).Weights, l[0].Weights, 1e-3)
}

func BenchmarkLogistic(b *testing.B) {
	x, y, _ := plantedRows(20000, 768)
	for b.Loop() {
		got, err := Logistic(b.Context(), x, []Target{NewBinary("planted", y)}, LogisticConfig{C: 1, Tolerance: 1e-6})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(got[0].Objective, "objective")
		b.ReportMetric(float64(got[0].Evaluations), "evaluations")
	}
}
