package stats

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Vendi returns the Vendi score of order q of a kernel K[n, n] of similarities: the effective number of different items,
// from 1 (all alike) to n (all unlike). With l the eigenvalues of K/n,
//
//	q = 1: exp(-sum l ln l);  q = inf: 1 / max l;  else (sum l^q)^(1/(1-q))
//
// Small q counts rare items more. K must be positive semi-definite with ones on its diagonal. Eigenvalues below 1e-14 count
// as 0. q is positive, or math.Inf(1).
func Vendi(k mat.Symmetric, q float64) (float64, error) {
	n := k.SymmetricDim()
	if err := checkCount("the kernel's diagonal", n, 1); err != nil {
		return 0, err
	}
	scaled := mat.NewSymDense(n, nil)
	for i := range n {
		if d := k.At(i, i); !(math.Abs(d-1) <= 1e-6) {
			return 0, fmt.Errorf("stats: the kernel's entry [%d, %d] is %v: %w; scale the kernel to ones on its diagonal", i, i, d, ErrArgument)
		}
		for j := i; j < n; j++ {
			v := k.At(i, j)
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, notFinite(fmt.Sprintf("row %d of the kernel", i), j, v)
			}
			scaled.SetSym(i, j, v/float64(n))
		}
	}
	return effectiveNumber(scaled, q)
}

// VendiCosine is Vendi of the cosine similarities of the rows of x[n, d], none of them zero. The eigenvalues are taken from
// the smaller of the n x n kernel and the d x d second moment, which share those above 0.
func VendiCosine(x mat.Matrix, q float64) (float64, error) {
	u, err := unitRows(x)
	if err != nil {
		return 0, err
	}
	n, d := u.Dims()
	moment := mat.NewSymDense(min(n, d), nil)
	if d < n {
		moment.SymOuterK(1/float64(n), u.T())
	} else {
		moment.SymOuterK(1/float64(n), u)
	}
	return effectiveNumber(moment, q)
}

// MeanCosineDistance returns the mean of 1 - cos over all pairs of different rows of x[n, d], n >= 2, none of them zero, in
// O(n d).
func MeanCosineDistance(x mat.Matrix) (float64, error) {
	u, err := unitRows(x)
	if err != nil {
		return 0, err
	}
	n, d := u.Dims()
	if err := checkCount("the list of rows", n, 2); err != nil {
		return 0, err
	}
	squares, column := make([]float64, d), make([]float64, n)
	for j := range d {
		total := sum(mat.Col(column, j, u))
		squares[j] = total * total
	}
	m := float64(n)
	return 1 - (sum(squares)-m)/(m*(m-1)), nil
}

func effectiveNumber(moment *mat.SymDense, q float64) (float64, error) {
	if !(q > 0) {
		return 0, fmt.Errorf("stats: order of the Vendi score is %v: %w; give 1, 2, +Inf or another positive number", q, ErrArgument)
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(moment, false) {
		return 0, fmt.Errorf("stats: the kernel's eigenvalues did not converge: %w", ErrDegenerate)
	}
	values := eigen.Values(nil)
	if values[0] < -1e-8 {
		return 0, fmt.Errorf("stats: the kernel has the eigenvalue %v: %w; it must be positive semi-definite", values[0], ErrArgument)
	}
	values = slices.DeleteFunc(values, func(l float64) bool { return l <= 1e-14 })
	largest := values[len(values)-1]
	terms := make([]float64, len(values))
	switch {
	case q == 1:
		for i, l := range values {
			terms[i] = -l * math.Log(l)
		}
		return math.Exp(sum(terms)), nil
	case math.IsInf(q, 1):
		return 1 / largest, nil
	}
	for i, l := range values { // relative to the largest, so that a high power does not vanish
		terms[i] = math.Pow(l/largest, q)
	}
	return math.Exp((math.Log(sum(terms)) + q*math.Log(largest)) / (1 - q)), nil
}

func unitRows(x mat.Matrix) (*mat.Dense, error) {
	n, d := x.Dims()
	if err := checkCount("the list of rows", min(n, d), 1); err != nil {
		return nil, err
	}
	u := mat.DenseCopyOf(x)
	for i := range n {
		row := u.RawRowView(i)
		if err := checkFinite(fmt.Sprintf("row %d", i), row); err != nil {
			return nil, err
		}
		norm := mat.Norm(u.RowView(i), 2)
		if norm == 0 {
			return nil, fmt.Errorf("stats: row %d is zero and has no direction: %w; drop it", i, ErrDegenerate)
		}
		for j := range row {
			row[j] /= norm
		}
	}
	return u, nil
}
