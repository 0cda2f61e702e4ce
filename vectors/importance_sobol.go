package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// SobolImportance is CRAFT's (Fel et al., arXiv:2211.10154): the total Sobol index of each concept's mask in f(u * mask), for
// masks uniform in [0, 1], by Jansen's estimator over scrambled Sobol points. It is the share of the score's variance that is
// lost with the concept, interactions included, and says nothing of the sign. A row whose score does not depend on the masks
// has importances 0.
type SobolImportance struct {
	Points int // a power of two; Points (r + 2) values a row
}

// Name is "sobol".
func (SobolImportance) Name() string { return "sobol" }

// Signed is false.
func (SobolImportance) Signed() bool { return false }

// Attribute is Importance's. All rows have the same masks.
func (x SobolImportance) Attribute(ctx context.Context, f Score, u *mat.Dense, seed uint64) (*mat.Dense, error) {
	n, r, err := checkRows("codes", u)
	if err != nil {
		return nil, err
	}
	a, b, err := SobolPair(x.Points, r, seed)
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, r, nil)
	for i := range n {
		total, err := maskIndices(ctx, func(masks *mat.Dense) ([]float64, error) {
			return scoresOf(ctx, x.Name(), f, masked(masks, u.RawRowView(i)))
		}, a, b)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
		out.SetRow(i, total)
	}
	return out, nil
}

// maskIndices are the total indices of masks, or zeros where f does not depend on them.
func maskIndices(ctx context.Context, f func(masks *mat.Dense) ([]float64, error), a, b *mat.Dense) ([]float64, error) {
	base, err := f(a)
	if err != nil {
		return nil, err
	}
	_, r := a.Dims()
	if floats.Max(base) == floats.Min(base) {
		return make([]float64, r), nil
	}
	first := true // SobolIndices begins with a, which is known
	s, err := SobolIndices(ctx, func(masks *mat.Dense) ([]float64, error) {
		if first {
			first = false
			return base, nil
		}
		return f(masks)
	}, a, b)
	if err != nil {
		return nil, err
	}
	return s.Total, nil
}

// masked are the products of u [r] with each row of masks [n, r].
func masked(masks *mat.Dense, u []float64) *mat.Dense {
	out := mat.DenseCopyOf(masks)
	n, _ := out.Dims()
	for i := range n {
		floats.Mul(out.RawRowView(i), u)
	}
	return out
}
