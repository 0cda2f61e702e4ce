package erase

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
	"loupe/vectors"
)

// Map is a linear map of embeddings near the identity, E = I + Left Right' [d, d], in thin factors: a matrix W [o, d] that reads
// embeddings becomes W E, and a row x becomes E x.
type Map struct {
	Left  *mat.Dense // [d, r]
	Right *mat.Dense // [d, r]
}

// Width is the width d of the embeddings.
func (m *Map) Width() int {
	d, _ := m.Left.Dims()
	return d
}

// Matrix is E [d, d].
func (m *Map) Matrix() *mat.Dense {
	d := m.Width()
	e := mat.NewDense(d, d, nil)
	for i := range d {
		e.Set(i, i, 1)
	}
	gemm.AddMulTrans(e.RawMatrix(), m.Left.RawMatrix(), m.Right.RawMatrix())
	return e
}

// Apply returns E x for each row of x [n, d].
func (m *Map) Apply(x *mat.Dense) (*mat.Dense, error) {
	if _, _, err := checkRows("embeddings", x, m.Width()); err != nil {
		return nil, err
	}
	return addThin(x, m.Right, m.Left), nil
}

// Weights returns W E for w [o, d].
func (m *Map) Weights(w *mat.Dense) (*mat.Dense, error) {
	if _, _, err := checkRows("K/V matrix", w, m.Width()); err != nil {
		return nil, err
	}
	return addThin(w, m.Left, m.Right), nil
}

// WeightsFloat32 writes W E to dst for w [o*d] in row-major float32, with sums in float64; dst may be w.
func (m *Map) WeightsFloat32(dst, w []float32) error {
	d := m.Width()
	if len(w) == 0 || len(w)%d != 0 || len(dst) != len(w) {
		return fmt.Errorf("erase: a K/V matrix of %d values, read by a map of width %d into %d: %w", len(w), d, len(dst), vectors.ErrShape)
	}
	const most = 512 // rows that are held in float64
	for lo := 0; lo < len(w); lo += most * d {
		part := w[lo:min(lo+most*d, len(w))]
		wide := mat.NewDense(len(part)/d, d, nil)
		for i, v := range part {
			wide.RawMatrix().Data[i] = float64(v)
		}
		for i := range len(part) / d {
			if err := checkFinite(fmt.Sprintf("K/V matrix, row %d", lo/d+i), wide.RawRowView(i)); err != nil {
				return err
			}
		}
		for i, v := range addThin(wide, m.Left, m.Right).RawMatrix().Data {
			dst[lo+i] = float32(v)
		}
	}
	return nil
}

// addThin is x + (x in) out' for x [n, d], in and out [d, r].
func addThin(x, in, out *mat.Dense) *mat.Dense {
	n, _ := x.Dims()
	_, r := in.Dims()
	scores := mat.NewDense(n, r, nil)
	gemm.AddMulTrans(scores.RawMatrix(), x.RawMatrix(), mat.DenseCopyOf(in.T()).RawMatrix())
	y := mat.DenseCopyOf(x)
	gemm.AddMulTrans(y.RawMatrix(), scores.RawMatrix(), out.RawMatrix())
	return y
}

// Then is the map of weights that are edited by m and then by next: W E_m E_next.
func (m *Map) Then(next *Map) (*Map, error) {
	d := m.Width()
	if next.Width() != d {
		return nil, fmt.Errorf("erase: a map of width %d after one of %d: %w", next.Width(), d, vectors.ErrShape)
	}
	// (I + L1 R1')(I + L2 R2') = I + L1 (R1 + R2 L2'R1)' + L2 R2'
	right := addThin(mat.DenseCopyOf(m.Right.T()), next.Left, next.Right)
	_, a := m.Left.Dims()
	_, b := next.Left.Dims()
	if a+b >= d {
		var e mat.Dense
		e.Mul(m.Matrix(), next.Matrix())
		return dense(&e), nil
	}
	out := &Map{Left: mat.NewDense(d, a+b, nil), Right: mat.NewDense(d, a+b, nil)}
	out.Left.Augment(m.Left, next.Left)
	out.Right.Augment(right.T(), next.Right)
	return out, nil
}

// dense is the map of a full matrix E, which is overwritten.
func dense(e *mat.Dense) *Map {
	d, _ := e.Dims()
	one := mat.NewDense(d, d, nil)
	for i := range d {
		one.Set(i, i, 1)
	}
	e.Sub(e, one)
	return &Map{Left: e, Right: one}
}

// Eraser is the map as an edit of activations, for a model's site or the rows of a store.
func (m *Map) Eraser() *vectors.Eraser {
	var left mat.Dense
	left.Scale(-1, m.Left)
	return &vectors.Eraser{Left: &left, Right: mat.DenseCopyOf(m.Right.T()), Bias: make([]float64, m.Width())}
}
