package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
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

// VectorChange says how far a vector moved between two models.
type VectorChange struct {
	Jaccard float64 `json:"jaccard"` // of the sets of top tokens before and after
	Cosine  float64 `json:"cosine"`
	L2      float64 `json:"l2"`
}

// CompareVectors compares each row of before [n, d] with that of after: value vectors of an MLP before and after unlearning,
// say (arXiv:2406.11614, with k = 200). e [v, d] projects to tokens.
func CompareVectors(e, before, after *mat.Dense, k int) ([]VectorChange, error) {
	v, d, err := checkRows("embedding", e)
	if err != nil {
		return nil, err
	}
	n, _, err := checkRows("before", before)
	if err != nil {
		return nil, err
	}
	if m, _, err := checkRows("after", after); err != nil || m != n {
		return nil, fmt.Errorf("vectors: %d vectors before and %d after: %w", n, m, ErrShape)
	}
	out := make([]VectorChange, n)
	for i := range n {
		a, b := before.RawRowView(i), after.RawRowView(i)
		topA, err := topTokens(e, v, d, a, k)
		if err != nil {
			return nil, fmt.Errorf("vector %d before: %w", i, err)
		}
		topB, err := topTokens(e, v, d, b, k)
		if err != nil {
			return nil, fmt.Errorf("vector %d after: %w", i, err)
		}
		shared := overlap(topA, topB)
		out[i] = VectorChange{Jaccard: float64(shared) / float64(2*k-shared), L2: floats.Distance(a, b, 2)}
		out[i].Cosine = floats.Dot(a, b) / (floats.Norm(a, 2) * floats.Norm(b, 2))
	}
	return out, nil
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
