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
	whole, err := scoresOf(ctx, x.Name(), f, u)
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, r, nil)
	for k := range r {
		less := mat.DenseCopyOf(u)
		less.SetCol(k, make([]float64, n))
		without, err := scoresOf(ctx, x.Name(), f, less)
		if err != nil {
			return nil, err
		}
		for i, v := range without {
			out.Set(i, k, whole[i]-v)
		}
	}
	return out, nil
}
