package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// Shrunk is the optimal linear shrinkage of the covariance towards a multiple of the identity (Bodnar, Gupta and Parolya,
// arXiv:1308.2608), for when rows are few against dimensions. With S the covariance over n rows, t its trace and d its
// width,
//
//	a S + (1-a) (t/d) I,  a = 1 - (t²/n) / (|S|_F² - t²/d)
//
// As in the concept-erasure library S is over n here, and a is not cut to [0, 1]. A multiple of the identity is returned
// as it is.
func (s *Scatter) Shrunk() (*mat.SymDense, error) {
	out, err := s.per(s.Count)
	if err != nil {
		return nil, err
	}
	return shrunk(out, s.Count)
}

// shrunk replaces cov, a covariance over n rows, by its shrinkage.
func shrunk(cov *mat.SymDense, n int) (*mat.SymDense, error) {
	d := float64(cov.SymmetricDim())
	t := mat.Trace(cov)
	if t <= 0 {
		return nil, fmt.Errorf("vectors: shrinkage of rows that do not vary: %w", ErrSingular)
	}
	norm := mat.Norm(cov, 2) // Frobenius
	spread := norm*norm - t*t/d
	if spread <= epsilon*norm*norm {
		return cov, nil
	}
	a := 1 - t*t/float64(n)/spread
	cov.ScaleSym(a, cov)
	for i := range cov.SymmetricDim() {
		cov.SetSym(i, i, cov.At(i, i)+(1-a)*t/d)
	}
	return cov, nil
}
