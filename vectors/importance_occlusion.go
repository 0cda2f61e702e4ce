package vectors

import (
	"context"

	"gonum.org/v1/gonum/mat"
)

// OcclusionImportance is f(u) - f(u without concept k) (Zeiler and Fergus, arXiv:1311.2901): r+1 values a row.
type OcclusionImportance struct{}

// Name is "occlusion".
func (OcclusionImportance) Name() string { return "occlusion" }

// Signed is true.
func (OcclusionImportance) Signed() bool { return true }

// Attribute is Importance's; nothing is random.
func (x OcclusionImportance) Attribute(ctx context.Context, f Score, u *mat.Dense, _ uint64) (*mat.Dense, error) {
	n, r, err := checkRows("codes", u)
	if err != nil {
		return nil, err
	}
	of, err := variantScores(ctx, x.Name(), f, u, r+1, func(_, k int, row []float64) {
		if k < r {
			row[k] = 0
		}
	})
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, r, nil)
	out.Apply(func(i, k int, _ float64) float64 { return of.At(i, r) - of.At(i, k) }, out)
	return out, nil
}
