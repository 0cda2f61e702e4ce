package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// LinearCKA returns the centred kernel alignment of two representations of the same n examples, x[n, d1] and y[n, d2]:
//
//	||X_c^T Y_c||_F² / (||X_c^T X_c||_F ||Y_c^T Y_c||_F)
//
// It is 1 for representations that are equal up to rotation and scale, and unchanged by both. It is biased upwards when n is
// not large against d, so compare it with a floor from other seeds. Cost O(n d1 d2), or O(n² (d1+d2)) by Gram matrices where
// that is less. It fails with ErrDegenerate when all rows of x or of y are equal.
func LinearCKA(x, y mat.Matrix) (float64, error) {
	n, d1 := x.Dims()
	m, d2 := y.Dims()
	if n != m {
		return 0, fmt.Errorf("stats: CKA of %d rows with %d rows: %w; the rows must be the same examples", n, m, ErrArgument)
	}
	if err := checkCount("the list of rows", n, 2); err != nil {
		return 0, err
	}
	a, err := centredColumns("x", x)
	if err != nil {
		return 0, err
	}
	b, err := centredColumns("y", y)
	if err != nil {
		return 0, err
	}
	var cross, xx, yy float64
	if max(d1, d2) > n {
		var k, l mat.Dense
		k.Mul(a, a.T())
		l.Mul(b, b.T())
		cross, xx, yy = frobenius(&k, &l), frobenius(&k, &k), frobenius(&l, &l)
	} else {
		var ab, aa, bb mat.Dense
		ab.Mul(a.T(), b)
		aa.Mul(a.T(), a)
		bb.Mul(b.T(), b)
		cross, xx, yy = frobenius(&ab, &ab), frobenius(&aa, &aa), frobenius(&bb, &bb)
	}
	cka := cross / (math.Sqrt(xx) * math.Sqrt(yy))
	return min(1, cka), checkResult("the CKA", cka)
}

// centredColumns takes the column means off and scales the whole to a largest entry of 1.
func centredColumns(what string, x mat.Matrix) (*mat.Dense, error) {
	n, d := x.Dims()
	out := mat.NewDense(n, d, nil)
	column := make([]float64, n)
	largest, same := 0.0, true
	for j := range d {
		mat.Col(column, j, x)
		if err := checkFinite(fmt.Sprintf("column %d of %s", j, what), column); err != nil {
			return nil, err
		}
		same = same && constant(column)
		out.SetCol(j, centred(column, column))
		largest = max(largest, mat.Norm(out.ColView(j), math.Inf(1)))
	}
	if same {
		return nil, fmt.Errorf("stats: all %d rows of %s are equal: %w", n, what, ErrDegenerate)
	}
	out.Scale(1/largest, out)
	return out, nil
}

// frobenius is sum_ij a_ij b_ij, summed by row.
func frobenius(a, b *mat.Dense) float64 {
	n, d := a.Dims()
	rows, products := make([]float64, n), make([]float64, d)
	for i := range n {
		p, q := a.RawRowView(i), b.RawRowView(i)
		for j := range products {
			products[j] = p[j] * q[j]
		}
		rows[i] = sum(products)
	}
	return sum(rows)
}
