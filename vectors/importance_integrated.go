package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/mat"
)

// IntegratedImportance is u_k times the mean of df/du_k on the way from 0 to u (Sundararajan et al., arXiv:1703.01365), by
// Gauss-Legendre quadrature. Importances sum to f(u) - f(0), up to the quadrature's error, which is 0 where f is a polynomial
// of degree 2 Points or less along the way.
type IntegratedImportance struct {
	Points int // gradients a row
}

// Name is "integrated gradients".
func (IntegratedImportance) Name() string { return "integrated gradients" }

// Signed is true.
func (IntegratedImportance) Signed() bool { return true }

// Attribute is Importance's; nothing is random.
func (x IntegratedImportance) Attribute(ctx context.Context, f Score, u *mat.Dense, _ uint64) (*mat.Dense, error) {
	n, r, err := checkRows("codes", u)
	if err != nil {
		return nil, err
	}
	if x.Points < 1 {
		return nil, fmt.Errorf("vectors: integrated gradients at %d points: %w; use 16", x.Points, ErrArgument)
	}
	at, weight := make([]float64, x.Points), make([]float64, x.Points)
	quad.Legendre{}.FixedLocations(at, weight, 0, 1)
	out := mat.NewDense(n, r, nil)
	err = eachVariants(u, x.Points, func(_, j int, row []float64) { floats.Scale(at[j], row) }, func(lo int, variants *mat.Dense) error {
		g, err := gradientsOf(ctx, x.Name(), f, variants)
		if err != nil {
			return err
		}
		rows, _ := g.Dims()
		for v := range rows {
			i, j := (lo+v)/x.Points, (lo+v)%x.Points
			floats.AddScaled(out.RawRowView(i), weight[j], g.RawRowView(v))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.MulElem(out, u)
	return out, nil
}
