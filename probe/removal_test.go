package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// leaky draws rows in which a concept moves entry 0 by 3 and doubles the spread of entry 1; another moves entry 2.
func leaky(n, d int) (x *mat.Dense, concept, other Target) {
	rng := rand.New(rand.NewPCG(11, 12))
	x = mat.NewDense(n, d, nil)
	a, b := make([]bool, n), make([]bool, n)
	for i := range n {
		a[i], b[i] = i%2 == 1, i/2%2 == 1
		row := x.RawRowView(i)
		for j := range row {
			row[j] = rng.NormFloat64() + 0.5
		}
		if a[i] {
			row[0] += 3
			row[1] *= 4
		}
		if b[i] {
			row[2] += 3
		}
	}
	return x, NewBinary("concept", a), NewBinary("other", b)
}

// TestAfterRemoval: LEACE leaves the exact linear classifier of the fitted rows no weight and no loss to gain, takes held-out
// linear accuracy to chance, and leaves what is in the spread to quadratic and MLP probes; another concept stays, and a random
// direction takes nothing.
func TestAfterRemoval(t *testing.T) {
	const n, d = 1200, 8
	x, concept, other := leaky(n, d)
	var split Split
	for i := range n {
		if i < 800 {
			split.Train = append(split.Train, i)
		} else {
			split.Test = append(split.Test, i)
		}
	}
	z, err := vectors.OneHot(concept.Take(split.Train).Class, 2)
	if err != nil {
		t.Fatal(err)
	}
	leace, err := vectors.FitLEACE(takeRows(x, split.Train), z, vectors.DefaultLEACE())
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultRemoval()
	cfg.Random, cfg.Intervals.Resamples = 2, 200
	stages, err := AfterRemoval(t.Context(), x, concept, []Target{other}, nil, split, leace, leace.Rank(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	accuracy := map[string][]float64{}
	for _, s := range stages {
		for _, p := range append(s.Concept, s.Others...) {
			accuracy[s.Name] = append(accuracy[s.Name], p.Accuracy.Value)
		}
		t.Logf("%-8s moved %.3f of the variance, weight %.2g, gain %.2g; linear, quadratic, MLP, other: %.3f", s.Name, s.Change.Share, s.LargestWeight, s.LossGain, accuracy[s.Name])
	}
	before, removed := stages[0], stages[1]
	if before.LossGain < 0.4 || accuracy["before"][0] < 0.9 || before.Change.Squared != 0 {
		t.Error("the concept is not there before")
	}
	if removed.LargestWeight > 1e-9 || math.Abs(removed.LossGain) > 1e-12 {
		t.Errorf("a linear trace is left on the fitted rows: weight %g, gain %g", removed.LargestWeight, removed.LossGain)
	}
	if a := accuracy["removed"]; a[0] > 0.56 || a[1] < 0.65 || a[2] < 0.65 || a[3] < 0.9 {
		t.Errorf("accuracies after the removal %v", a)
	}
	for i, a := range accuracy["random"] {
		if a < 0.8 {
			t.Errorf("score %d with a random direction removed is %v", i, a)
		}
	}
}

func TestAfterRemovalRefuses(t *testing.T) {
	x, concept, _ := leaky(40, 4)
	split := Split{Train: []int{0, 1, 2, 3, 4, 5, 6, 7}, Test: []int{8, 9, 10, 11}}
	r, err := vectors.RandomProjection(4, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]struct {
		x       *mat.Dense
		concept Target
		split   Split
		want    error
	}{
		"no test rows": {x, concept, Split{Train: split.Train}, vectors.ErrArgument}, "other rows": {takeRows(x, split.Train), concept, split, vectors.ErrShape},
		"a number": {x, NewRegression("n", make([]float64, 40)), split, vectors.ErrArgument}, "one class": {x, NewBinary("c", make([]bool, 40)), split, vectors.ErrClasses},
	} {
		if _, err := AfterRemoval(t.Context(), try.x, try.concept, nil, nil, try.split, r, 1, DefaultRemoval()); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wide, err := vectors.RandomProjection(5, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AfterRemoval(t.Context(), x, concept, nil, nil, split, wide, 1, DefaultRemoval()); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("a remover of another width: %v", err)
	}
}
