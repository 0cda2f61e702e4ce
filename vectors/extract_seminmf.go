package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
)

// SemiNMFExtractor finds concepts of any sign with non-negative codes (Ding, Li and Jordan, IEEE TPAMI 32, 2010), for
// activations of both signs: by turns W is the least-squares solution for U, and U moves by coordinate descent for W. It
// starts from the clusters of k-means.
type SemiNMFExtractor struct {
	Config HALSConfig
}

// Name is "seminmf".
func (SemiNMFExtractor) Name() string { return "seminmf" }

// Extract is Extractor's.
func (x SemiNMFExtractor) Extract(ctx context.Context, a *mat.Dense, r int, seed uint64) (*Concepts, error) {
	n, d, err := checkExtract("semi-NMF", a, r)
	if err != nil {
		return nil, err
	}
	if err := x.Config.Validate(); err != nil {
		return nil, err
	}
	clusters, err := KMeansExtractor{Starts: 5, Rounds: 20}.Extract(ctx, a, r, seed)
	if err != nil {
		return nil, err
	}
	u := mat.DenseCopyOf(clusters.U)
	u.Apply(func(_, _ int, v float64) float64 { return v + 0.2 }, u) // as Ding et al. do: entries away from 0
	var w *mat.Dense
	last := math.Inf(1)
	for range x.Config.Rounds {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: semi-NMF: %w", err)
		}
		if w, err = leastSquares(u, a); err != nil {
			return nil, fmt.Errorf("vectors: semi-NMF: %w", err)
		}
		with := mat.NewDense(n, r, nil)
		gemm.AddMulTrans(with.RawMatrix(), a.RawMatrix(), w.RawMatrix())
		descend(u.RawMatrix(), with.RawMatrix(), product(w, w.T()), x.Config.Sweeps)
		left := relativeError(a, u, w)
		if last-left < x.Config.Tolerance {
			break
		}
		last = left
	}
	unitRows(w)
	return nonNegative(ctx, x.Name(), a, w, d)
}

// leastSquares is the w [r, d] for which |a - u w| is least, with a little of the mean diagonal added against columns of u that
// depend on each other.
func leastSquares(u, a *mat.Dense) (*mat.Dense, error) {
	_, r := u.Dims()
	_, d := a.Dims()
	gram := symmetrised(columnGram(u))
	addDiagonal(gram, 1e-10*mat.Trace(gram)/float64(r))
	var c mat.Cholesky
	if !c.Factorize(gram) {
		return nil, fmt.Errorf("codes of %d concepts: %w; extract fewer", r, ErrSingular)
	}
	with := mat.NewDense(d, r, nil)
	gemm.AddTransMul(with.RawMatrix(), a.RawMatrix(), u.RawMatrix())
	var w mat.Dense
	_ = c.SolveTo(&w, with.T()) // its error is a condition number
	return &w, nil
}

// relativeError is |a - u w| / |a|.
func relativeError(a, u, w *mat.Dense) float64 {
	left := product(u, w)
	left.Sub(a, left)
	return mat.Norm(left, 2) / max(mat.Norm(a, 2), math.SmallestNonzeroFloat64)
}

// unitRows scales rows to norm 1; rows of zeros stay.
func unitRows(w *mat.Dense) {
	r, _ := w.Dims()
	for i := range r {
		if norm := floats.Norm(w.RawRowView(i), 2); norm > 0 {
			floats.Scale(1/norm, w.RawRowView(i))
		}
	}
}
