package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"loupe/internal/stats"
	"loupe/vectors"
)

func TestEvaluateByHand(t *testing.T) {
	// said 1 1 0 0 1 against 1 0 0 1 1
	target := Target{Name: "y", Task: Binary, Class: []int{1, 0, 0, 1, 1}, Classes: []string{"n", "p"}}
	m, err := Evaluate(t.Context(), target, []float64{2, 0.5, -1, -0.5, 3}, nil, DefaultIntervals(), 1)
	if err != nil {
		t.Fatal(err)
	}
	// recalls 1/2 and 2/3, precision 2/3; of the 6 pairs the positive is above in 2+1+2
	for _, c := range []struct {
		what      string
		got, want float64
	}{{"accuracy", m.Accuracy.Value, 0.6}, {"balanced", m.Balanced, 7.0 / 12}, {"F1", m.F1, 2.0 / 3}, {"AUC", m.AUC.Value, 5.0 / 6}, {"majority", m.Majority, 0.6}} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	r, err := Evaluate(t.Context(), NewRegression("t", []float64{1, 2, 3}), []float64{1, 2.5, 2.5}, nil, DefaultIntervals(), 1)
	if err != nil || math.Abs(r.R2.Value-0.75) > 1e-12 {
		t.Errorf("R² %v, %v; want 0.75", r.R2, err)
	}
}

// TestCurve: the sorted curve of a resample is stats.AUC of the resampled rows, ties and all.
func TestCurve(t *testing.T) {
	rng := rand.New(rand.NewPCG(71, 72))
	scores, positive := make([]float64, 50), make([]bool, 50)
	for i := range scores {
		scores[i], positive[i] = float64(rng.IntN(12)), rng.IntN(3) == 0
	}
	c := newCurve(scores, positive, upTo(50))
	for range 20 {
		index := make([]int, 50)
		var s []float64
		var p []bool
		for i := range index {
			index[i] = rng.IntN(50)
			s, p = append(s, scores[index[i]]), append(p, positive[index[i]])
		}
		want, err := stats.AUC(s, p)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.area(index); math.Abs(got-want) > 1e-12 {
			t.Errorf("area %v, stats.AUC %v", got, want)
		}
	}
}

// TestIntervalsOfPerfectProbes: they have width, and more of it where groups are few.
func TestIntervalsOfPerfectProbes(t *testing.T) {
	target, word, _ := grid(12, 10)
	scores := make([]float64, target.Len())
	for i, c := range target.Class {
		scores[i] = float64(2*c - 1)
	}
	byRow, err := Evaluate(t.Context(), target, scores, nil, DefaultIntervals(), 1)
	if err != nil {
		t.Fatal(err)
	}
	byWord, err := Evaluate(t.Context(), target, scores, word.Numbers(), DefaultIntervals(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Metrics{byRow, byWord} {
		if m.AUC.Value != 1 || m.Accuracy.Value != 1 || m.AUC.Low >= 1 || m.Accuracy.Low >= 1 {
			t.Errorf("AUC %v, accuracy %v", m.AUC, m.Accuracy)
		}
	}
	if byWord.AUC.Low >= byRow.AUC.Low || byWord.Accuracy.Low >= byRow.Accuracy.Low {
		t.Errorf("120 rows of 12 words: AUC from %v by row, %v by word", byRow.AUC.Low, byWord.AUC.Low)
	}
}

// TestCrossValidate: a planted concept is found on rows that no probe saw, noise is not; with one word for each class,
// the folds by word have nothing to go by.
func TestCrossValidate(t *testing.T) {
	x, y, _ := plantedRows(300, 10)
	target := NewBinary("planted", y)
	noise := ShuffledLabels(target, nil, 5)
	for _, method := range []string{MethodLogistic, MethodLDA} {
		got, err := CrossValidate(t.Context(), DefaultMethod(method), x, []Target{target, noise}, nil, 5, DefaultIntervals(), 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: AUC %.3f [%.3f, %.3f], shuffled %.3f", method, got[0].AUC.Value, got[0].AUC.Low, got[0].AUC.High, got[1].AUC.Value)
		if got[0].AUC.Low < 0.8 || got[1].AUC.Value > 0.65 || got[1].AUC.Value < 0.35 {
			t.Errorf("%s: AUC %v, of noise %v", method, got[0].AUC, got[1].AUC)
		}
		if len(got[0].Scores) != 300 {
			t.Errorf("%d scores", len(got[0].Scores))
		}
	}
	values := make([]float64, x.N)
	for i := range values {
		values[i] = float64(x.Row(i)[0])
	}
	r, err := CrossValidate(t.Context(), DefaultMethod(MethodRidge), x, []Target{NewRegression("t", values)}, nil, 5, DefaultIntervals(), 1)
	if err != nil || r[0].R2.Value < 0.99 {
		t.Errorf("regression: R² %v, %v", r, err)
	}
}

func TestEvaluateErrors(t *testing.T) {
	two := Target{Name: "y", Task: Binary, Class: []int{1, 0}, Classes: []string{"n", "p"}}
	one := Target{Name: "y", Task: Binary, Class: []int{1, 1}, Classes: []string{"n", "p"}}
	gap := Target{Name: "y", Task: Binary, Class: []int{1, Unlabelled}, Classes: []string{"n", "p"}}
	for name, c := range map[string]struct {
		target Target
		scores []float64
		want   error
	}{
		"scores": {two, []float64{1}, vectors.ErrShape}, "one class": {one, []float64{1, 2}, vectors.ErrClasses},
		"no label": {gap, []float64{1, 2}, vectors.ErrClasses}, "NaN": {two, []float64{1, math.NaN()}, vectors.ErrNotFinite},
	} {
		if _, err := Evaluate(t.Context(), c.target, c.scores, nil, DefaultIntervals(), 1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
