package sae

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// From denseCells stored entries on, of which at least half of all are there, and up to denseColumns columns the Hessian is
// formed and factorised, once where possible: dense activations are correlated, and its diagonal alone leaves conjugate
// gradients hundreds of steps. After denseSteps of them it is formed anew.
const (
	denseCells   = 50_000
	denseColumns = 2048
	denseSteps   = 30
)

// dense tells whether the Hessian is formed.
func (p *logisticProblem) dense() bool {
	cells := len(p.x.Index)
	return p.x.Cols <= denseColumns && cells >= denseCells && 2*cells >= p.x.Rows()*p.x.Cols
}

// factorise forms the Hessian of the slopes that gradient set; where it is singular to rounding the diagonal stays in use.
func (p *logisticProblem) factorise() {
	n, f := p.x.Rows(), p.x.Cols+1
	rows := make([]float64, n*f) // sqrt(slope) [x 1]
	for r := range n {
		scale := math.Sqrt(p.slope[r])
		index, value := p.x.Row(r)
		for j, c := range index {
			rows[r*f+int(c)] = scale * value[j]
		}
		rows[r*f+f-1] = scale
	}
	a := blas64.General{Rows: n, Cols: f, Stride: f, Data: rows}
	h := make([]float64, f*f)
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, a, a, 0, blas64.General{Rows: f, Cols: f, Stride: f, Data: h})
	for i := range f - 1 {
		h[i*f+i]++ // the penalty; the intercept has none
	}
	p.factor = &mat.Cholesky{}
	if !p.factor.Factorize(mat.NewSymDense(f, h)) {
		p.factor = nil
	}
}

// precondition sets z to about H^-1 rest.
func (p *logisticProblem) precondition(z, rest []float64) {
	if p.factor != nil {
		if err := p.factor.SolveVecTo(mat.NewVecDense(len(z), z), mat.NewVecDense(len(rest), rest)); err == nil {
			return
		}
	}
	for i, r := range rest {
		z[i] = r / p.diag[i]
	}
}
