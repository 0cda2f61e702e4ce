package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// SAL is spectral attribute removal (arXiv:2203.07893): an orthogonal projection away from the r leading left singular vectors of
// the cross-covariance of x and z, about 0. r is at most the number of concept columns; with r the rank of the
// cross-covariance no linear trace is left on the fitted rows, with less the weakest ones stay.
func SAL(m *Moments, r int) (*Eraser, error) {
	cross, err := m.CrossCovariance()
	if err != nil {
		return nil, err
	}
	u, values, err := leftSingular(cross)
	if err != nil {
		return nil, err
	}
	if r < 1 || r > len(values) {
		return nil, fmt.Errorf("vectors: SAL of %d directions with %d singular values: %w", r, len(values), ErrArgument)
	}
	d := len(m.X.Mean)
	return projection(mat.DenseCopyOf(u.Slice(0, d, 0, r).T()), make([]float64, d)), nil
}
