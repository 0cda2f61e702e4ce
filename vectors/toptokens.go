package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
)

// TopTokens returns the k tokens whose rows of an embedding or unembedding e [v, d] have the largest product with a vector
// [d], descending; of equal ones the smaller id comes first.
func TopTokens(e *mat.Dense, vector []float64, k int) ([]int, error) {
	v, d, err := checkRows("embedding", e)
	if err != nil {
		return nil, err
	}
	return topTokens(e, v, d, vector, k)
}

func topTokens(e *mat.Dense, v, d int, vector []float64, k int) ([]int, error) {
	if err := checkVector("vector", vector, d); err != nil {
		return nil, err
	}
	if k < 1 || k > v {
		return nil, fmt.Errorf("vectors: top %d of %d tokens: %w", k, v, ErrArgument)
	}
	scores := mat.NewVecDense(v, nil)
	scores.MulVec(e, mat.NewVecDense(d, vector))
	return largestIndices(scores.RawVector().Data, k), nil
}

// topTable calls visit with the k top tokens of each row of vectors [n, d] in e [v, d], in order of the rows; it multiplies many
// at once.
func topTable(ctx context.Context, e, vectors *mat.Dense, k int, visit func(i int, top []int)) error {
	v, d := e.Dims()
	n, width := vectors.Dims()
	if width != d {
		return checkWidth("embedding", d, width)
	}
	if k < 1 || k > v {
		return fmt.Errorf("vectors: top %d of %d tokens: %w", k, v, ErrArgument)
	}
	const block = 64
	tops := make([][]int, block)
	for lo := 0; lo < n; lo += block {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("vectors: top tokens: %w", err)
		}
		part := vectors.Slice(lo, min(lo+block, n), 0, d).(*mat.Dense)
		rows, _ := part.Dims()
		scores := mat.NewDense(v, rows, nil)
		gemm.AddMulTrans(scores.RawMatrix(), e.RawMatrix(), part.RawMatrix())
		parallelRows(rows, func(from, to int) {
			for i := from; i < to; i++ {
				tops[i] = largestIndices(mat.Col(nil, i, scores), k)
			}
		})
		for i := range rows {
			visit(lo+i, tops[i])
		}
	}
	return nil
}

// overlap counts the different values that a and b share.
func overlap(a, b []int) int {
	in := make(map[int]bool, len(b))
	for _, t := range b {
		in[t] = true
	}
	shared := 0
	for _, t := range a {
		if in[t] {
			shared++
			delete(in, t)
		}
	}
	return shared
}
