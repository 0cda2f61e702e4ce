package erase

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// NeighbourKV is what an edit does to what a matrix reads of each neighbour: |W' x' - W x| / |W x| for W [o, d] before and W' after, and
// embeddings x [n, d] of the original encoder and x' of the edited one. Give the same matrix, or the same embeddings, where only
// the other was edited.
func NeighbourKV(before, after, x, edited *mat.Dense) ([]float64, error) {
	o, d, err := checkRows("K/V matrix", before, 0)
	if err != nil {
		return nil, err
	}
	if rows, _, err := checkRows("edited K/V matrix", after, d); err != nil || rows != o {
		return nil, fmt.Errorf("erase: K/V matrix [%d, %d] edited to %d rows: %w", o, d, rows, vectors.ErrShape)
	}
	n, _, err := checkRows("neighbours", x, d)
	if err != nil {
		return nil, err
	}
	if rows, _, err := checkRows("edited neighbours", edited, d); err != nil || rows != n {
		return nil, fmt.Errorf("erase: %d neighbours, %d after the edit: %w", n, rows, vectors.ErrShape)
	}
	was, now := times(x, before), times(edited, after)
	out := make([]float64, n)
	for i := range out {
		norm := floats.Norm(was.RawRowView(i), 2)
		if norm == 0 {
			return nil, fmt.Errorf("erase: the matrix gives 0 for neighbour %d: %w; there is nothing to compare with", i, vectors.ErrArgument)
		}
		out[i] = floats.Distance(was.RawRowView(i), now.RawRowView(i), 2) / norm
	}
	return out, nil
}

// NeighbourAccuracy counts the texts of an erased concept's neighbours that are still recognised.
func NeighbourAccuracy(predictions, labels, neighbours []int) (Share, error) {
	if len(labels) == 0 || len(predictions) != len(labels) {
		return Share{}, fmt.Errorf("erase: %d predictions, %d labels: %w", len(predictions), len(labels), vectors.ErrShape)
	}
	near := make(map[int]bool)
	for _, c := range neighbours {
		near[c] = true
	}
	var s Share
	for i, y := range labels {
		if near[y] {
			s.add(predictions[i] == y)
		}
	}
	return s, nil
}
