package erase

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
	"loupe/vectors"
)

// Preservation is what became of each concept's neighbours.
type Preservation struct {
	Neighbours [][]int   // the nearest others by cosine before the edit, nearest first [n][k]
	Cosine     []float64 // mean cosine of the neighbours' embeddings after with before [n]
	Overlap    []float64 // share of the neighbours that still are [n]
	Rank       []float64 // Spearman of the cosines with all others, before and after [n]; 0 where no order is left
}

// Neighbours compares embeddings of concepts before and after an edit, both [n, d]. Of equal cosines the first concept is nearer.
func Neighbours(before, after *mat.Dense, k int) (*Preservation, error) {
	n, d, err := checkRows("embeddings before", before, 0)
	if err != nil {
		return nil, err
	}
	if rows, _, err := checkRows("embeddings after", after, d); err != nil || rows != n {
		return nil, fmt.Errorf("erase: %d embeddings before, %d after: %w", n, rows, vectors.ErrShape)
	}
	if k < 1 || k >= n {
		return nil, fmt.Errorf("erase: %d neighbours of %d concepts: %w; use 1 to %d", k, n, vectors.ErrArgument, n-1)
	}
	was, err := unitRows("embeddings before", before, d)
	if err != nil {
		return nil, err
	}
	now, err := unitRows("embeddings after", after, d)
	if err != nil {
		return nil, err
	}
	a, b := times(was, was), times(now, now)
	p := &Preservation{Cosine: make([]float64, n), Overlap: make([]float64, n), Rank: make([]float64, n)}
	for i := range n {
		old, others := nearest(a.RawRowView(i), i)
		current, _ := nearest(b.RawRowView(i), i)
		p.Neighbours = append(p.Neighbours, old[:k])
		x, y := make([]float64, 0, n-1), make([]float64, 0, n-1)
		for _, j := range others {
			x, y = append(x, a.At(i, j)), append(y, b.At(i, j))
		}
		for _, j := range old[:k] {
			p.Cosine[i] += mat.Dot(was.RowView(j), now.RowView(j)) / float64(k)
			if slices.Contains(current[:k], j) {
				p.Overlap[i] += 1 / float64(k)
			}
		}
		if len(x) < 3 {
			continue // a rank correlation of two values says nothing
		}
		r, err := stats.Spearman(x, y)
		if errors.Is(err, stats.ErrDegenerate) {
			continue // all others are equally near: no order is left
		}
		if err != nil {
			return nil, fmt.Errorf("erase: ranks of the neighbours of concept %d: %w", i, err)
		}
		p.Rank[i] = r.R
	}
	return p, nil
}

// nearest orders all but i by their cosines, largest first, and lists them.
func nearest(cosines []float64, i int) (order, others []int) {
	for j := range cosines {
		if j != i {
			others = append(others, j)
		}
	}
	order = slices.Clone(others)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cosines[b], cosines[a]) })
	return order, others
}
