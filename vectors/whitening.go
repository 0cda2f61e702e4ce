package vectors

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// whitening is a matrix W with W S W' = I on the range of a covariance S. Any two differ by a rotation from the left, which
// LEACE does not see.
type whitening interface {
	whiten(a *mat.Dense) *mat.Dense     // W a
	whitenRows(u *mat.Dense) *mat.Dense // W' u
	restore(u *mat.Dense) *mat.Dense    // W+ u
}

// whitening of the covariance of x, or of its shrinkage.
func (m *Moments) whitening(shrinkage bool) (whitening, error) {
	cov, err := m.X.Covariance()
	if shrinkage && err == nil {
		cov, err = m.X.Shrunk()
	}
	if err != nil {
		return nil, err
	}
	var c mat.Cholesky
	if d := cov.SymmetricDim(); c.Factorize(cov) && c.Cond() < 1e-3/(float64(d)*epsilon) { // no eigenvalue near the cutoff
		var factor mat.TriDense
		c.LTo(&factor)
		return cholesky{&factor}, nil
	}
	e, err := eigen(cov)
	if err != nil {
		return nil, err
	}
	root, inverse := e.roots()
	return symmetricRoot{root, inverse}, nil
}

// plain is W = I.
type plain struct{}

func (plain) whiten(a *mat.Dense) *mat.Dense     { return a }
func (plain) whitenRows(u *mat.Dense) *mat.Dense { return u }
func (plain) restore(u *mat.Dense) *mat.Dense    { return u }

// symmetricRoot is W = S^-1/2, the pseudo-inverse square root.
type symmetricRoot struct{ root, inverse *mat.Dense }

func (s symmetricRoot) whiten(a *mat.Dense) *mat.Dense     { return product(s.inverse, a) }
func (s symmetricRoot) whitenRows(u *mat.Dense) *mat.Dense { return product(s.inverse, u) }
func (s symmetricRoot) restore(u *mat.Dense) *mat.Dense    { return product(s.root, u) }

// cholesky is W = L^-1 for S = L L'.
type cholesky struct{ factor *mat.TriDense }

func (c cholesky) whiten(a *mat.Dense) *mat.Dense     { return c.solve(blas.NoTrans, a) }
func (c cholesky) whitenRows(u *mat.Dense) *mat.Dense { return c.solve(blas.Trans, u) }
func (c cholesky) restore(u *mat.Dense) *mat.Dense    { return product(c.factor, u) }

// solve returns L^-1 a, or L'^-1 a.
func (c cholesky) solve(side blas.Transpose, a *mat.Dense) *mat.Dense {
	out := mat.DenseCopyOf(a)
	blas64.Trsm(blas.Left, side, 1, c.factor.RawTriangular(), out.RawMatrix())
	return out
}

func product(a, b mat.Matrix) *mat.Dense {
	var out mat.Dense
	out.Mul(a, b)
	return &out
}
