package erase

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Inverse is the closed-form attack on a Map: what must be put in so that the edited matrices give what they gave for the
// concepts before, W E x = W c. It is an upper bound for attackers that must reach x through the encoder.
type Inverse struct {
	X         *mat.Dense // E^-1 c [n, d]
	NormRatio []float64  // |x| / |c| [n]
	Condition float64    // cond(E) in the 2-norm
	LogDet    float64    // log |det E|
	Sign      float64    // of det E
	Rank      int        // of E - I: singular values above 1e-9
}

// Invert attacks the concepts c [n, d]. A singular E is an error that wraps ErrSingular: then no x gives them exactly.
func (m *Map) Invert(c *mat.Dense) (*Inverse, error) {
	n, d, err := checkRows("concepts", c, m.Width())
	if err != nil {
		return nil, err
	}
	_, r := m.Left.Dims()
	// Woodbury: E^-1 = I - Left (I + Right'Left)^-1 Right', det E = det(I + Right'Left)
	small := mat.NewDense(r, r, nil)
	small.Mul(m.Right.T(), m.Left)
	for i := range r {
		small.Set(i, i, small.At(i, i)+1)
	}
	var lu mat.LU
	lu.Factorize(small)
	var scores, solved, x mat.Dense
	scores.Mul(m.Right.T(), c.T())
	out := &Inverse{NormRatio: make([]float64, n)}
	e, away, err := m.singularValues()
	if err != nil {
		return nil, err
	}
	out.Condition = e[0] / e[len(e)-1]
	if err := lu.SolveTo(&solved, false, &scores); err != nil || !(out.Condition <= 1/epsilon) {
		return nil, fmt.Errorf("erase: the map has condition %.2g: %w: no input gives the erased outputs exactly", out.Condition, ErrSingular)
	}
	x.Mul(m.Left, &solved)
	x.Sub(c.T(), &x)
	out.X = mat.DenseCopyOf(x.T())
	for i := range n {
		norm := floats.Norm(c.RawRowView(i), 2)
		if norm == 0 {
			return nil, fmt.Errorf("erase: concept %d is zero: %w", i, ErrSingular)
		}
		out.NormRatio[i] = floats.Norm(out.X.RawRowView(i), 2) / norm
	}
	out.LogDet, out.Sign = lu.LogDet()
	for _, s := range away {
		if s > 1e-9 {
			out.Rank++
		}
	}
	return out, checkFinite(fmt.Sprintf("the inverse of %d concepts of width %d", n, d), out.X.RawMatrix().Data)
}

const epsilon = 0x1p-52

// singularValues are those of E, descending, less repeated ones that are 1, and of E - I. Outside the span of the two factors E
// is the identity, so that a basis of it is enough.
func (m *Map) singularValues() (e, away []float64, err error) {
	d, r := m.Left.Dims()
	left, right := m.Left, m.Right
	if 2*r < d {
		var both, q mat.Dense
		both.Augment(left, right)
		var qr mat.QR
		qr.Factorize(&both)
		qr.QTo(&q)
		basis := q.Slice(0, d, 0, 2*r)
		left, right = new(mat.Dense), new(mat.Dense)
		left.Mul(basis.T(), m.Left)
		right.Mul(basis.T(), m.Right)
	}
	k, _ := left.Dims()
	var product mat.Dense
	product.Mul(left, right.T())
	var svd mat.SVD
	if !svd.Factorize(&product, mat.SVDNone) {
		return nil, nil, fmt.Errorf("erase: the singular values of E - I do not converge: %w", ErrSingular)
	}
	away = svd.Values(nil)
	for i := range k {
		product.Set(i, i, product.At(i, i)+1)
	}
	if !svd.Factorize(&product, mat.SVDNone) {
		return nil, nil, fmt.Errorf("erase: the singular values of E do not converge: %w", ErrSingular)
	}
	e = svd.Values(nil)
	if k < d {
		e[0], e[k-1] = math.Max(e[0], 1), math.Min(e[k-1], 1)
	}
	return e, away, nil
}
