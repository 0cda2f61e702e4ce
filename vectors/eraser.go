package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Eraser is a frozen affine map that removes r directions: x' = x - Left (Right (x - Bias)).
type Eraser struct {
	Left  *mat.Dense // [d, r]; nil when there is nothing to remove
	Right *mat.Dense // [r, d]
	Bias  []float64  // [d]; the point that the map leaves in place
}

// newEraser takes the r columns of left and rows of right that are kept; r may be 0.
func newEraser(left, right *mat.Dense, bias []float64) *Eraser {
	return &Eraser{Left: left, Right: right, Bias: bias}
}

// projection is the orthogonal projection away from the orthonormal rows of q, about bias.
func projection(q *mat.Dense, bias []float64) *Eraser {
	if q == nil {
		return newEraser(nil, nil, bias)
	}
	return newEraser(mat.DenseCopyOf(q.T()), mat.DenseCopyOf(q), bias)
}

// Rank is the number of directions that are removed.
func (e *Eraser) Rank() int {
	if e.Right == nil {
		return 0
	}
	r, _ := e.Right.Dims()
	return r
}

// Apply returns the erased rows of x [n, d].
func (e *Eraser) Apply(x *mat.Dense) (*mat.Dense, error) {
	if x == nil || x.IsEmpty() {
		_, _, err := checkRows("x", x)
		return nil, err
	}
	n, d := x.Dims()
	out := mat.NewDense(n, d, nil)
	if err := e.ApplyTo(out, x); err != nil {
		return nil, err
	}
	return out, nil
}

// Matrix is the linear part P = I - Left Right [d, d].
func (e *Eraser) Matrix() *mat.Dense {
	p := identity(len(e.Bias))
	if e.Rank() > 0 {
		var away mat.Dense
		away.Mul(e.Left, e.Right)
		p.Sub(p, &away)
	}
	return p
}

// orthonormal extends the orthonormal rows of q by the part of the rows of w outside them; rows whose part outside is
// within rounding (1e-10 of the row) add nothing. q may be nil.
func orthonormal(q, w *mat.Dense) *mat.Dense {
	n, d := w.Dims()
	for i := range n {
		row := mat.Row(nil, i, w)
		norm := floats.Norm(row, 2)
		if norm == 0 {
			continue
		}
		floats.Scale(1/norm, row)
		for range 2 { // twice is enough (Parlett, The Symmetric Eigenvalue Problem, 6.9)
			removeRows(row, q)
		}
		left := floats.Norm(row, 2)
		if left <= 1e-10 {
			continue
		}
		floats.Scale(1/left, row)
		if q == nil {
			q = mat.NewDense(1, d, row)
			continue
		}
		r, _ := q.Dims()
		grown := mat.NewDense(r+1, d, nil)
		grown.Copy(q)
		grown.SetRow(r, row)
		q = grown
	}
	return q
}

// removeRows takes from v its parts along the orthonormal rows of q.
func removeRows(v []float64, q *mat.Dense) {
	if q == nil {
		return
	}
	r, _ := q.Dims()
	for i := range r {
		floats.AddScaled(v, -floats.Dot(v, q.RawRowView(i)), q.RawRowView(i))
	}
}

// checkDirections checks rows that shall span a subspace of activations.
func checkDirections(v *mat.Dense) (r, d int, err error) {
	r, d, err = checkRows("directions", v)
	if err != nil {
		return 0, 0, err
	}
	for i := range r {
		if err := checkVector(fmt.Sprintf("direction %d", i), v.RawRowView(i), d); err != nil {
			return 0, 0, err
		}
	}
	return r, d, nil
}
