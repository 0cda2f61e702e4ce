package bottleneck

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TestMatrixSearchHand: scores (1, 1) and classes (1, 0), (1, 2): cosines 1/sqrt(2) and 3/sqrt(10); cubes (1, 1), (1, 0), (1, 8):
// 1/sqrt(2) and 9/sqrt(130). A row of zeros is like nothing.
func TestMatrixSearchHand(t *testing.T) {
	scores, classes := mat.NewDense(2, 2, []float64{1, 1, 0, 0}), mat.NewDense(2, 2, []float64{1, 0, 1, 2})
	for power, want := range map[int][]float64{1: {0.7071067811865475, 0.9486832980505138, 0, 0}, 3: {0.7071067811865475, 0.7893522173763263, 0, 0}} {
		got, err := MatrixSearch(scores, classes, power)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.RawMatrix().Data {
			nearly(t, "similarity", v, want[i], 1e-14)
		}
	}
	for _, power := range []int{0, 10} {
		if _, err := MatrixSearch(scores, classes, power); !errors.Is(err, vectors.ErrArgument) {
			t.Errorf("power %d: %v", power, err)
		}
	}
	if _, err := MatrixSearch(scores, mat.NewDense(1, 2, []float64{1, 0}), 1); !errors.Is(err, vectors.ErrClasses) {
		t.Errorf("one class: %v", err)
	}
}

// TestMatrixSearchPlanted: where a class's row has the concepts that its texts hold, nearly all texts are found; with the
// concepts of the classes' rows permuted, no more than by chance.
func TestMatrixSearchPlanted(t *testing.T) {
	p := plant(7, 400, 4, 3, 30, 0.15)
	s, err := FitScorer(p.bank, p.x, Cosine)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := s.Apply(p.x)
	if err != nil {
		t.Fatal(err)
	}
	classes := mat.NewDense(4, 12, nil)
	for j, c := range p.of {
		classes.Set(c, j, 1)
	}
	accuracy := func(classes *mat.Dense) float64 {
		got, err := MatrixSearch(scores, classes, 1)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := Hits(got, p.y)
		if err != nil {
			t.Fatal(err)
		}
		return mean(hits)
	}
	if a := accuracy(classes); a < 0.95 {
		t.Errorf("accuracy %.3f", a)
	}
	var shuffled []float64
	for seed := range uint64(20) {
		permuted := mat.NewDense(4, 12, nil)
		for j, from := range rand.New(rand.NewPCG(seed, 2)).Perm(12) {
			permuted.Set(p.of[j], from, 1)
		}
		shuffled = append(shuffled, accuracy(permuted))
	}
	slices.Sort(shuffled)
	if m := mean(shuffled); m > 0.4 {
		t.Errorf("shuffled concepts: mean accuracy %.3f, of %.3f", m, shuffled)
	}
}

func TestArgMax(t *testing.T) {
	if got := ArgMax(mat.NewDense(3, 3, []float64{0, 2, 1, 5, 5, 1, -3, -2, -1})); !slices.Equal(got, []int{1, 0, 2}) {
		t.Error(got)
	}
}
