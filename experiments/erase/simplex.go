package erase

import (
	"cmp"
	"fmt"
	"slices"

	"loupe/vectors"
)

// ProjectSimplex returns the point of the simplex (entries from 0, sum 1) that is nearest to z, clip(z - mu, 0, 1) with the mu at
// which it sums to 1: by sorting, exactly, where UnlearnDiffAtk bisects.
func ProjectSimplex(z []float64) ([]float64, error) {
	if len(z) == 0 {
		return nil, fmt.Errorf("erase: simplex of no entries: %w", vectors.ErrShape)
	}
	if err := checkFinite("point", z); err != nil {
		return nil, err
	}
	sorted := slices.Clone(z)
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
	sum, mu := 0.0, 0.0
	for k, v := range sorted {
		sum += v
		if shift := (sum - 1) / float64(k+1); v > shift {
			mu = shift
		}
	}
	out := make([]float64, len(z))
	for i, v := range z {
		out[i] = max(v-mu, 0)
	}
	return out, nil
}
