package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Deletion returns the score of each row of codes u [n, r] as its concepts are set to 0, the most important first: [n, r+1],
// from all of them to none (Petsiuk et al., arXiv:1806.07421; for concepts Fel et al., arXiv:2306.07304). A good importance
// makes the score fall fast: its AreaUnder is small.
func Deletion(ctx context.Context, f Score, u, importance *mat.Dense) (*mat.Dense, error) {
	return byImportance(ctx, "deletion", f, u, importance, false)
}

// Insertion returns the score of each row of codes u [n, r] as its concepts come back, the most important first: [n, r+1],
// from none to all. A good importance makes the score rise fast: its AreaUnder is large.
func Insertion(ctx context.Context, f Score, u, importance *mat.Dense) (*mat.Dense, error) {
	return byImportance(ctx, "insertion", f, u, importance, true)
}

func byImportance(ctx context.Context, what string, f Score, u, importance *mat.Dense, insert bool) (*mat.Dense, error) {
	n, r, err := checkRows("codes", u)
	if err != nil {
		return nil, err
	}
	if ni, ri, err := checkRows("importances", importance); err != nil || ni != n || ri != r {
		return nil, fmt.Errorf("vectors: %s: importances [%d, %d] of codes [%d, %d]: %w", what, ni, ri, n, r, ErrShape)
	}
	place := make([][]int, n) // of a concept in its row's order
	for i := range place {
		place[i] = make([]int, r)
		for at, k := range sortedIndices(importance.RawRowView(i)) {
			place[i][k] = at
		}
	}
	return variantScores(ctx, what, f, u, r+1, func(i, step int, row []float64) {
		for k, at := range place[i] {
			if (at < step) != insert {
				row[k] = 0
			}
		}
	})
}

// AreaUnder is the mean height of each row of curves [n, m], m > 1, by trapezoids: the area under it with all of the way as 1.
func AreaUnder(curves *mat.Dense) ([]float64, error) {
	n, m, err := checkRows("curves", curves)
	if err != nil {
		return nil, err
	}
	if m < 2 {
		return nil, fmt.Errorf("vectors: curves of %d point: %w", m, ErrShape)
	}
	out := make([]float64, n)
	for i := range out {
		c := curves.RawRowView(i)
		out[i] = (floats.Sum(c) - (c[0]+c[m-1])/2) / float64(m-1)
	}
	return out, nil
}
