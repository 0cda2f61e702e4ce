package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Indices are Sobol sensitivity indices of r inputs with the values that they come from.
type Indices struct {
	Total, First []float64  // [r]
	A, B         []float64  // [N], the function at the rows of a and of b
	C            *mat.Dense // [r, N], at the rows of a with one column from b
}

// SobolIndices estimates how much of the variance of f each of its r inputs carries: alone (First) and in all its
// interactions (Total). a and b are [N, r] independent samples of the inputs; C_i is a with column i from b; f returns the
// values [rows] of a matrix of inputs [rows, r], and is called r+2 times.
//
//	Total_i = sum_j (f(A)_j - f(C_i)_j)² / (2 N Var),  First_i = mean(f(B) (f(C_i) - f(A))) / Var,  Var of f(A) over N-1
//
// Total is Jansen's estimator (1999), First Saltelli's (2010). They converge slowly: with unscrambled Halton points and N
// = 32, CRAFT's default, the largest index is often the wrong one.
func SobolIndices(ctx context.Context, f func(inputs *mat.Dense) ([]float64, error), a, b *mat.Dense) (*Indices, error) {
	n, r, err := checkRows("a", a)
	if err != nil {
		return nil, err
	}
	if nb, rb, err := checkRows("b", b); err != nil || nb != n || rb != r {
		return nil, fmt.Errorf("vectors: Sobol samples [%d, %d] and [%d, %d]: %w", n, r, nb, rb, ErrShape)
	}
	s := &Indices{Total: make([]float64, r), First: make([]float64, r), C: mat.NewDense(r, n, nil)}
	if s.A, err = values(ctx, f, a); err != nil {
		return nil, err
	}
	if s.B, err = values(ctx, f, b); err != nil {
		return nil, err
	}
	variance := sampleVariance(s.A)
	if !(variance > 0) {
		return nil, fmt.Errorf("vectors: Sobol indices of a function with variance %v over %d points: %w", variance, n, ErrArgument)
	}
	for i := range r {
		c := mat.DenseCopyOf(a)
		for j := range n {
			c.Set(j, i, b.At(j, i))
		}
		at, err := values(ctx, f, c)
		if err != nil {
			return nil, err
		}
		s.C.SetRow(i, at)
		total, first := 0.0, 0.0
		for j, v := range at {
			total += (s.A[j] - v) * (s.A[j] - v)
			first += s.B[j] * (v - s.A[j])
		}
		s.Total[i] = total / (2 * float64(n) * variance)
		s.First[i] = first / float64(n) / variance
	}
	return s, nil
}

func values(ctx context.Context, f func(*mat.Dense) ([]float64, error), inputs *mat.Dense) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("vectors: Sobol indices: %w", err)
	}
	v, err := f(inputs)
	if err != nil {
		return nil, fmt.Errorf("vectors: Sobol indices: %w", err)
	}
	if n, _ := inputs.Dims(); len(v) != n {
		return nil, fmt.Errorf("vectors: Sobol indices: %d values for %d points: %w", len(v), n, ErrShape)
	}
	for i, e := range v {
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return nil, fmt.Errorf("vectors: Sobol indices: the function is %v at point %d: %w", e, i, ErrNotFinite)
		}
	}
	return v, nil
}

// sampleVariance is the variance over n-1, 0 for one value.
func sampleVariance(v []float64) float64 {
	mean, sum := 0.0, 0.0
	for _, e := range v {
		mean += e / float64(len(v))
	}
	for _, e := range v {
		sum += (e - mean) * (e - mean)
	}
	return sum / float64(max(len(v)-1, 1))
}
