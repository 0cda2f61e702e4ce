package sae

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// Stability compares the dictionaries that two seeds found.
type Stability struct {
	MeanMaxCosine float64 `json:"mean_max_cosine"` // over the rows of both: the cosine with the nearest row of the other
	Shared        float64 `json:"shared"`          // share of the rows of both whose nearest row has a cosine of at least the limit
}

// MeasureStability compares the rows of two dictionaries, [F, d] and [G, d] (Sharkey et al. 2022's mean max cosine similarity,
// both ways; Paulo and Belrose, arXiv:2501.16615, count as shared what has a cosine of 0.7 or more). Two random
// dictionaries are the control: their mean grows with F and falls with d.
func MeasureStability(ctx context.Context, a, b []float32, d int, limit float64) (Stability, error) {
	if d < 1 || len(a) == 0 || len(b) == 0 || len(a)%d != 0 || len(b)%d != 0 {
		return Stability{}, fmt.Errorf("sae: stability: %d and %d values are not dictionaries of width %d", len(a), len(b), d)
	}
	x, _ := unitRows(a, d)
	y, _ := unitRows(b, d)
	f, g := len(a)/d, len(b)/d
	bestA, bestB := make([]float64, f), make([]float64, g)
	for i := range bestA {
		bestA[i] = -1
	}
	for j := range bestB {
		bestB[j] = -1
	}
	const block = 256
	product := make([]float64, min(block, f)*g)
	for lo := 0; lo < f; lo += block {
		if err := ctx.Err(); err != nil {
			return Stability{}, fmt.Errorf("sae: stability stopped at row %d of %d: %w", lo, f, err)
		}
		n := min(block, f-lo)
		c := blas64.General{Rows: n, Cols: g, Stride: g, Data: product[:n*g]}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, blas64.General{Rows: n, Cols: d, Stride: d, Data: x[lo*d : (lo+n)*d]},
			blas64.General{Rows: g, Cols: d, Stride: d, Data: y}, 0, c)
		for r := range n {
			for j, v := range c.Data[r*g : (r+1)*g] {
				bestA[lo+r], bestB[j] = max(bestA[lo+r], v), max(bestB[j], v)
			}
		}
	}
	var s Stability
	for _, v := range append(bestA, bestB...) {
		s.MeanMaxCosine += v / float64(f+g)
		if v >= limit {
			s.Shared += 1 / float64(f+g)
		}
	}
	return s, nil
}
