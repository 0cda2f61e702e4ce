package vectors

import (
	"context"

	"gonum.org/v1/gonum/mat"
)

// GradientImportance is u_k df/du_k (Shrikumar et al., arXiv:1605.01713): one gradient a row, and a straight line's word for f.
type GradientImportance struct{}

// Name is "gradient x input".
func (GradientImportance) Name() string { return "gradient x input" }

// Signed is true.
func (GradientImportance) Signed() bool { return true }

// Attribute is Importance's; nothing is random.
func (x GradientImportance) Attribute(ctx context.Context, f Score, u *mat.Dense, _ uint64) (*mat.Dense, error) {
	if _, _, err := checkRows("codes", u); err != nil {
		return nil, err
	}
	g, err := gradientsOf(ctx, x.Name(), f, u)
	if err != nil {
		return nil, err
	}
	var out mat.Dense
	out.MulElem(g, u)
	return &out, nil
}
