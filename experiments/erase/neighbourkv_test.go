package erase_test

import (
	"errors"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/vectors"
)

// TestNeighbourKVHand: W = diag(1, 2), W' = diag(1, 1): x = (3, 2) reads as (3, 4), then (3, 2), a change of 2/5; and the first neighbour's
// two texts of three are right.
func TestNeighbourKVHand(t *testing.T) {
	w, after := mat.NewDense(2, 2, []float64{1, 0, 0, 2}), mat.NewDense(2, 2, []float64{1, 0, 0, 1})
	x := mat.NewDense(2, 2, []float64{3, 2, 1, 0})
	if got := get[[]float64](t)(erase.NeighbourKV(w, after, x, x)); !slices.Equal(got, []float64{0.4, 0}) {
		t.Errorf("changes %v", got)
	}
	if got := get[[]float64](t)(erase.NeighbourKV(w, w, x, mat.NewDense(2, 2, []float64{3, 2, 2, 0}))); !slices.Equal(got, []float64{0, 1}) {
		t.Errorf("changes of embeddings %v", got)
	}
	if _, err := erase.NeighbourKV(w, after, mat.NewDense(1, 2, nil), mat.NewDense(1, 2, nil)); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("a neighbour that is read as 0: %v", err)
	}
	if _, err := erase.NeighbourKV(w, mat.NewDense(3, 2, nil), x, x); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("another number of outputs: %v", err)
	}
	if got := get[erase.Share](t)(erase.NeighbourAccuracy([]int{1, 1, 0, 2, 0}, []int{1, 1, 1, 2, 0}, []int{1})); got != (erase.Share{Hits: 2, N: 3}) {
		t.Errorf("accuracy %+v", got)
	}
}
