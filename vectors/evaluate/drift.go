package evaluate

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"loupe/vectors"
)

// Drift compares the embeddings of texts before and after, rows [n, w] of norm 1: the cosine of each text's two embeddings, and
// the share of its k nearest other texts, by cosine, that stay.
func Drift(before, after []float32, w, k int) (cosine, agreement []float64, err error) {
	if len(before) != len(after) || w < 1 || len(before)%w != 0 {
		return nil, nil, fmt.Errorf("evaluate: drift of %d values to %d, rows of width %d: %w", len(before), len(after), w, vectors.ErrShape)
	}
	n := len(before) / w
	if k < 1 || k >= n {
		return nil, nil, fmt.Errorf("evaluate: drift: %d nearest neighbours among %d texts: %w; ask for fewer", k, n, vectors.ErrArgument)
	}
	near, far := neighbours(before, w, k), neighbours(after, w, k)
	for i := range n {
		cosine = append(cosine, float64(blas32.DDot(vector32(before[i*w:(i+1)*w]), vector32(after[i*w:(i+1)*w]))))
		both := 0
		for _, j := range near[i] {
			if slices.Contains(far[i], j) {
				both++
			}
		}
		agreement = append(agreement, float64(both)/float64(k))
	}
	return cosine, agreement, nil
}

func vector32(x []float32) blas32.Vector { return blas32.Vector{N: len(x), Inc: 1, Data: x} }

// neighbours are the k nearest other rows of each row; of equal ones the smaller index comes first.
func neighbours(x []float32, w, k int) [][]int {
	n := len(x) / w
	sim := blas32.General{Rows: n, Cols: n, Stride: n, Data: make([]float32, n*n)}
	all := blas32.General{Rows: n, Cols: w, Stride: w, Data: x}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, all, all, 0, sim)
	out := make([][]int, n)
	for i := range out {
		row := sim.Data[i*n : (i+1)*n]
		order := make([]int, 0, n-1)
		for j := range n {
			if j != i {
				order = append(order, j)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case row[a] > row[b]:
				return -1
			case row[a] < row[b]:
				return 1
			}
			return 0
		})
		out[i] = order[:k]
	}
	return out
}

// unitRows scales rows to norm 1.
func unitRows(x []float32, w int) error {
	for i := 0; i < len(x); i += w {
		norm := 0.0
		for _, v := range x[i : i+w] {
			norm += float64(v) * float64(v)
		}
		if !(norm > 0) || math.IsInf(norm, 0) {
			return fmt.Errorf("evaluate: the embedding of text %d has norm %v: %w", i/w, math.Sqrt(norm), vectors.ErrNotFinite)
		}
		scale := float32(1 / math.Sqrt(norm))
		for j := range x[i : i+w] {
			x[i+j] *= scale
		}
	}
	return nil
}
