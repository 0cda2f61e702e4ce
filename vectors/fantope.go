package vectors

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// fantope returns the point of the Fantope {0 <= P <= I, tr P = k} that is nearest to the symmetric p, and its k leading
// eigenvectors as rows [k, d]: eigenvalues l become min(1, max(0, l - theta)) with theta such that they sum to k (Vu et al.,
// NIPS 2013).
func fantope(p *mat.SymDense, k int) (*mat.SymDense, *mat.Dense, error) {
	s, err := eigen(p)
	if err != nil {
		return nil, nil, err
	}
	d := len(s.values)
	theta := fantopeShift(s.values, k)
	inside := s.apply(func(l float64) float64 { return min(1, max(0, l-theta)) })
	top := mat.NewDense(k, d, nil)
	for i := range k {
		top.SetRow(i, mat.Col(nil, d-1-i, s.vectors))
	}
	return symmetrised(inside), top, nil
}

// fantopeShift is the theta for which the values, less theta and cut to [0, 1], sum to k.
func fantopeShift(values []float64, k int) float64 {
	low, high := floats.Min(values)-1, floats.Max(values)
	for range 200 {
		middle := low + (high-low)/2
		sum := 0.0
		for _, l := range values {
			sum += min(1, max(0, l-middle))
		}
		if sum > float64(k) {
			low = middle
		} else {
			high = middle
		}
		if high-low <= epsilon*math.Abs(high) {
			break
		}
	}
	return high
}
