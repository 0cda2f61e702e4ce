package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// VectorChange says how far a vector moved between two models.
type VectorChange struct {
	Jaccard float64 `json:"jaccard"` // of the sets of top tokens before and after
	Cosine  float64 `json:"cosine"`
	L2      float64 `json:"l2"`
}

// CompareVectors compares each row of before [n, d] with that of after: value vectors of an MLP before and after unlearning,
// say (arXiv:2406.11614, with k = 200). e [v, d] projects to tokens.
func CompareVectors(ctx context.Context, e, before, after *mat.Dense, k int) ([]VectorChange, error) {
	if _, _, err := checkRows("embedding", e); err != nil {
		return nil, err
	}
	return compareVectors(ctx, e, e, before, after, k)
}

// compareVectors projects each side by its own embedding.
func compareVectors(ctx context.Context, eBefore, eAfter, before, after *mat.Dense, k int) ([]VectorChange, error) {
	n, d, err := checkDirections(before)
	if err != nil {
		return nil, fmt.Errorf("before: %w", err)
	}
	if m, w, err := checkDirections(after); err != nil {
		return nil, fmt.Errorf("after: %w", err)
	} else if m != n || w != d {
		return nil, fmt.Errorf("vectors: [%d, %d] before and [%d, %d] after: %w", n, d, m, w, ErrShape)
	}
	tops := make([][]int, n)
	if err := topTable(ctx, eBefore, before, k, func(i int, top []int) { tops[i] = top }); err != nil {
		return nil, err
	}
	out := make([]VectorChange, n)
	err = topTable(ctx, eAfter, after, k, func(i int, top []int) {
		a, b := before.RawRowView(i), after.RawRowView(i)
		shared := overlap(tops[i], top)
		out[i] = VectorChange{Jaccard: float64(shared) / float64(2*k-shared), Cosine: cosineOf(a, b), L2: floats.Distance(a, b, 2)}
	})
	return out, err
}

// CompareModels compares the value vectors of two models of one architecture layer by layer: out[i] are those of layers[i].
// Each model projects by its own unembedding; an edit that moves the unembedding alone shows as a low Jaccard at cosine 1.
func CompareModels(ctx context.Context, before, after *model.Model, layers []int, k int) ([][]VectorChange, error) {
	if before.Spec.Digest() != after.Spec.Digest() {
		return nil, fmt.Errorf("vectors: compare %s with %s: %w; their architectures differ", before.Name, after.Name, ErrShape)
	}
	eBefore, err := Unembedding(before)
	if err != nil {
		return nil, err
	}
	eAfter, err := Unembedding(after)
	if err != nil {
		return nil, err
	}
	out := make([][]VectorChange, len(layers))
	for i, l := range layers {
		a, err := ValueVectors(before, l)
		if err != nil {
			return nil, err
		}
		b, err := ValueVectors(after, l)
		if err != nil {
			return nil, err
		}
		if out[i], err = compareVectors(ctx, eBefore, eAfter, a, b, k); err != nil {
			return nil, fmt.Errorf("layer %d: %w", l, err)
		}
	}
	return out, nil
}
