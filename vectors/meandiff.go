package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// DiffOfMeans returns mean(x | y=1) - mean(x | y=0) [d], not normalised: its norm is the gap between the classes.
func DiffOfMeans(x *mat.Dense, y []int) ([]float64, error) {
	_, d, counts, err := checkBinary(x, y)
	if err != nil {
		return nil, err
	}
	means := classMeans(x, y, counts)
	return floats.SubTo(make([]float64, d), means.RawRowView(1), means.RawRowView(0)), nil
}

// DiffOfMeansWhitened returns S^-1/2 (mean1 - mean0) [d] with S the covariance of x: the difference of means of whitened
// activations, in whitened coordinates. Eigenvalues of S at or below max*d*eps count as 0, so that directions in which
// nothing varies drop out.
func DiffOfMeansWhitened(x *mat.Dense, y []int) ([]float64, error) {
	dm, err := DiffOfMeans(x, y)
	if err != nil {
		return nil, err
	}
	s, err := NewScatter(len(dm))
	if err != nil {
		return nil, err
	}
	if err := s.Update(x); err != nil {
		return nil, err
	}
	cov, err := s.Covariance()
	if err != nil {
		return nil, fmt.Errorf("whitening: %w", err)
	}
	e, err := eigen(cov)
	if err != nil {
		return nil, err
	}
	_, inverse := e.roots()
	out := mat.NewVecDense(len(dm), nil)
	out.MulVec(inverse, mat.NewVecDense(len(dm), dm))
	return out.RawVector().Data, nil
}
