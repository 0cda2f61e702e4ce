package vectors

import (
	"fmt"
	"math"
	"sync/atomic"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// ApplyTo writes the erased rows of x [n, d] to dst [n, d], which may be x. After an error some rows of dst are written.
func (e *Eraser) ApplyTo(dst, x *mat.Dense) error {
	n, d := x.Dims()
	if rows, width := dst.Dims(); rows != n || width != d {
		return fmt.Errorf("vectors: eraser: %d rows of width %d into %d of width %d: %w", n, d, rows, width, ErrShape)
	}
	if err := checkWidth("eraser", len(e.Bias), d); err != nil {
		return err
	}
	offset, left := e.parts()
	return eraseRows(n, func(i int) bool {
		row, to := x.RawRowView(i), dst.RawRowView(i)
		scores := make([]float64, 0, 8) // of the row as it was, because dst may be x
		for k := range offset {
			scores = append(scores, offset[k]-floats.Dot(e.Right.RawRowView(k), row))
		}
		if len(scores) == 0 || !finite(scores) {
			copy(to, row)
			return finite(row)
		}
		floats.AddScaledTo(to, row, scores[0], left.RawRowView(0))
		for k, s := range scores[1:] {
			floats.AddScaled(to, s, left.RawRowView(k+1))
		}
		return true
	})
}

// ApplyFloat32 writes the erased rows of x [n*d] to dst, which may be x, in float32 with scores in float64: half the memory of
// ApplyTo, for rows of a store.
func (e *Eraser) ApplyFloat32(dst, x []float32) error {
	d := len(e.Bias)
	if len(x) == 0 || len(x)%d != 0 || len(dst) != len(x) {
		return fmt.Errorf("vectors: eraser of width %d for %d values into %d: %w", d, len(x), len(dst), ErrShape)
	}
	offset, wide := e.parts()
	r := len(offset)
	left, right := make([]blas32.Vector, r), make([]blas32.Vector, r)
	for k := range r {
		left[k] = blas32.Vector{N: d, Inc: 1, Data: float32s(wide.RawRowView(k))}
		right[k] = blas32.Vector{N: d, Inc: 1, Data: float32s(e.Right.RawRowView(k))}
	}
	return eraseRows(len(x)/d, func(i int) bool {
		row, to := blas32.Vector{N: d, Inc: 1, Data: x[i*d : (i+1)*d]}, blas32.Vector{N: d, Inc: 1, Data: dst[i*d : (i+1)*d]}
		scores := make([]float64, 0, 8)
		for k := range r {
			scores = append(scores, offset[k]-blas32.DDot(right[k], row))
		}
		copy(to.Data, row.Data)
		if r == 0 || !finite(scores) {
			return finite(row.Data)
		}
		for k, s := range scores {
			blas32.Axpy(float32(s), left[k], to)
		}
		return true
	})
}

// parts are Right Bias [r] and the transpose of Left [r, d].
func (e *Eraser) parts() (offset []float64, left *mat.Dense) {
	r := e.Rank()
	if r == 0 {
		return nil, nil
	}
	product := mat.NewVecDense(r, nil)
	product.MulVec(e.Right, mat.NewVecDense(len(e.Bias), e.Bias))
	return product.RawVector().Data, mat.DenseCopyOf(e.Left.T())
}

// eraseRows calls erase for every row and reports the first of which it says that a value is not finite.
func eraseRows(n int, erase func(i int) bool) error {
	var bad atomic.Int64
	bad.Store(math.MaxInt64)
	parallelRows(n, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if !erase(i) {
				for was := bad.Load(); int64(i) < was && !bad.CompareAndSwap(was, int64(i)); was = bad.Load() {
				}
				return
			}
		}
	})
	if i := bad.Load(); i != math.MaxInt64 {
		return fmt.Errorf("vectors: eraser: row %d has a value that is NaN or Inf: %w; drop the row or find what made it", i, ErrNotFinite)
	}
	return nil
}

// finite tells whether no value is NaN or Inf.
func finite[T float32 | float64](v []T) bool {
	for _, x := range v {
		if x-x != 0 {
			return false
		}
	}
	return true
}
