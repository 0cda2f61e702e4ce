package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

const epsilon = 0x1p-52 // of float64

// spectrum is the eigendecomposition of a symmetric matrix, eigenvalues ascending, eigenvectors in columns.
type spectrum struct {
	values  []float64
	vectors *mat.Dense
}

func eigen(s *mat.SymDense) (spectrum, error) {
	var e mat.EigenSym
	if !e.Factorize(s, true) {
		return spectrum{}, fmt.Errorf("vectors: eigenvalues of a covariance: %w", ErrNotConverged)
	}
	var v mat.Dense
	e.VectorsTo(&v)
	return spectrum{e.Values(nil), &v}, nil
}

// cutoff is the eigenvalue at or below which a positive semi-definite matrix counts as singular: largest * d * epsilon.
func (s spectrum) cutoff() float64 {
	d := len(s.values)
	return max(s.values[d-1], 0) * float64(d) * epsilon
}

// apply returns V f(values) V'.
func (s spectrum) apply(f func(float64) float64) *mat.Dense {
	d := len(s.values)
	scaled := mat.DenseCopyOf(s.vectors)
	factors := make([]float64, d)
	for j, l := range s.values {
		factors[j] = f(l)
	}
	for i := range d {
		row := scaled.RawRowView(i)
		for j := range row {
			row[j] *= factors[j]
		}
	}
	var out mat.Dense
	out.Mul(scaled, s.vectors.T())
	return &out
}

// sqrt is the positive semi-definite square root; negative eigenvalues (rounding) count as 0.
func (s spectrum) sqrt() *mat.Dense {
	return s.apply(func(l float64) float64 { return math.Sqrt(max(l, 0)) })
}

// roots are the square root and its pseudo-inverse, both without the eigenvalues at or below the cutoff.
func (s spectrum) roots() (root, inverse *mat.Dense) {
	least := s.cutoff()
	root = s.apply(func(l float64) float64 {
		if l <= least {
			return 0
		}
		return math.Sqrt(l)
	})
	inverse = s.apply(func(l float64) float64 {
		if l <= least {
			return 0
		}
		return 1 / math.Sqrt(l)
	})
	return root, inverse
}

// symmetrised is (a + a')/2.
func symmetrised(a *mat.Dense) *mat.SymDense {
	d, _ := a.Dims()
	out := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			out.SetSym(i, j, (a.At(i, j)+a.At(j, i))/2)
		}
	}
	return out
}

// solvePositive returns s^-1 b for a positive definite s, or ErrSingular.
func solvePositive(what string, s *mat.SymDense, b []float64) ([]float64, error) {
	var c mat.Cholesky
	if !c.Factorize(s) || c.Cond() > 1/(8*epsilon) {
		return nil, fmt.Errorf("vectors: %s of width %d: %w; use shrinkage, a penalty, more rows or fewer dimensions", what, s.SymmetricDim(), ErrSingular)
	}
	out := mat.NewVecDense(len(b), nil)
	if err := c.SolveVecTo(out, mat.NewVecDense(len(b), b)); err != nil {
		return nil, fmt.Errorf("vectors: %s: %w: %w", what, ErrSingular, err)
	}
	return out.RawVector().Data, nil
}

// identity is the unit matrix of width d.
func identity(d int) *mat.Dense {
	out := mat.NewDense(d, d, nil)
	for i := range d {
		out.Set(i, i, 1)
	}
	return out
}
