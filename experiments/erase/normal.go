package erase

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
)

// normal are the normal equations of a closed form: W' is the minimum of
//
//	sum_i w_i |W' from_i - v_i|² + sum_j k_j |(W'-W) keep_j|² + tr (W'-W) (moment + lambda I) (W'-W)'
//
// and so W' = W + sum_i w_i (v_i - W from_i) from_i' A^-1, A = lambda I + moment + sum_i w_i from_i from_i' + sum_j k_j keep_j keep_j'.
type normal struct {
	from   *mat.Dense // [n, d]
	weight []float64  // w [n]
	keep   *mat.Dense // [m, d] with its weights' square roots multiplied in; nil: none
	moment *mat.SymDense
	lambda float64
	cure   string // what to raise where the system is singular
}

// folded are the same equations with the kept rows in the moment, for several solutions with other from; where their small system is the
// cheaper one they stay rows.
func (s normal) folded() normal {
	if s.keep == nil {
		return s
	}
	n, d := s.from.Dims()
	if k, _ := s.keep.Dims(); s.moment == nil && s.lambda > 0 && n+k < d {
		return s
	}
	sum := mat.NewSymDense(d, nil)
	if s.moment != nil {
		sum.CopySym(s.moment)
	}
	gemm.AddGram(sum.RawSymmetric(), nil, s.keep.RawMatrix())
	s.moment, s.keep = sum, nil
	return s
}

// readers are A^-1 w_i from_i as columns [d, n].
func (s normal) readers() (*mat.Dense, error) {
	n, d := s.from.Dims()
	rows := s.rows()
	m, _ := rows.Dims()
	var out mat.Dense
	if s.moment == nil && s.lambda > 0 && m < d {
		// A^-1 R' = R' (lambda I + R R')^-1, a smaller system
		small := mat.NewSymDense(m, nil)
		gemm.AddGram(small.RawSymmetric(), nil, mat.DenseCopyOf(rows.T()).RawMatrix())
		inverse, err := s.solve(small, mat.NewDense(m, m, nil).Slice(0, m, 0, n).(*mat.Dense), true)
		if err != nil {
			return nil, err
		}
		out.Mul(rows.T(), inverse)
	} else {
		a := mat.NewSymDense(d, nil)
		if s.moment != nil {
			a.CopySym(s.moment)
		}
		gemm.AddGram(a.RawSymmetric(), nil, rows.RawMatrix())
		solved, err := s.solve(a, mat.DenseCopyOf(rows.Slice(0, n, 0, d).T()), false)
		if err != nil {
			return nil, err
		}
		out.CloneFrom(solved)
	}
	for i, w := range s.weight {
		for j := range d {
			out.Set(j, i, out.At(j, i)*math.Sqrt(w))
		}
	}
	return &out, nil
}

// rows are all rows with the square roots of their weights, the mapped ones first.
func (s normal) rows() *mat.Dense {
	n, d := s.from.Dims()
	m := 0
	if s.keep != nil {
		m, _ = s.keep.Dims()
	}
	rows := mat.NewDense(n+m, d, nil)
	for i := range n {
		floats.AddScaled(rows.RawRowView(i), math.Sqrt(s.weight[i]), s.from.RawRowView(i))
	}
	for j := range m {
		copy(rows.RawRowView(n+j), s.keep.RawRowView(j))
	}
	return rows
}

// solve returns (a + lambda I)^-1 b, for b the first columns of the identity if unit says so.
func (s normal) solve(a *mat.SymDense, b *mat.Dense, unit bool) (*mat.Dense, error) {
	for i := range a.SymmetricDim() {
		a.SetSym(i, i, a.At(i, i)+s.lambda)
	}
	if _, n := b.Dims(); unit {
		for i := range n {
			b.Set(i, i, 1)
		}
	}
	return solveSymmetric(a, b, s.cure)
}

// most is the largest condition number of a system that is solved.
const most = 1e13

// solveSymmetric returns a^-1 b for a positive definite a. cure names the setting that adds to the diagonal.
func solveSymmetric(a *mat.SymDense, b mat.Matrix, cure string) (*mat.Dense, error) {
	var chol mat.Cholesky
	if !chol.Factorize(a) || !(chol.Cond() <= most) {
		return nil, singular(a, cure)
	}
	var out mat.Dense
	if err := chol.SolveTo(&out, b); err != nil {
		return nil, fmt.Errorf("erase: %w: %w; raise %s", ErrSingular, err, cure)
	}
	return &out, nil
}

// singular says by how much a system falls short.
func singular(a *mat.SymDense, cure string) error {
	var eig mat.EigenSym
	if !eig.Factorize(a, false) {
		return fmt.Errorf("erase: %w and its eigenvalues cannot be found; raise %s", ErrSingular, cure)
	}
	values := eig.Values(nil)
	top := values[len(values)-1]
	return fmt.Errorf("erase: %w: eigenvalues from %.2g to %.2g of a [%d, %d] matrix; raise %s by %.2g or more, or give more rows to preserve",
		ErrSingular, values[0], top, len(values), len(values), cure, max(1e-10*top-values[0], 1e-300))
}

// mapTo is the Map of the equations for v_i = W to_i.
func (s normal) mapTo(to *mat.Dense) (*Map, error) {
	right, err := s.readers()
	if err != nil {
		return nil, err
	}
	var gap mat.Dense
	gap.Sub(to, s.from)
	n, d := s.from.Dims()
	if n < d {
		return &Map{Left: mat.DenseCopyOf(gap.T()), Right: right}, nil
	}
	var e mat.Dense
	e.Mul(gap.T(), right.T())
	for i := range d {
		e.Set(i, i, e.At(i, i)+1)
	}
	return dense(&e), nil
}

// ones are n weights w.
func ones(n int, w float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = w
	}
	return out
}
