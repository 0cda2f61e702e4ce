package bottleneck

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// MatrixSearch is concept matrix search (arXiv:2404.03323), which classifies without training: a text's row of concept scores
// is compared with the row that each class's name has for the same concepts,
//
//	similarity(i, c) = <s_i^p, t_c^p> / (|s_i^p| |t_c^p|),   ^p element by element, with the sign kept for even p too
//
// and the largest is the answer. scores is [n, m] and classes [k, m]; the power is 1, or 3 to let the strongest concepts decide.
// The published scores are raw cosines; standardised ones, of the same Scorer for texts and classes, keep concepts that
// everything resembles from deciding. Returns [n, k]. A row of zeros resembles nothing: its similarities are 0.
func MatrixSearch(scores, classes *mat.Dense, power int) (*mat.Dense, error) {
	n, m, err := checkMatrix("scores", scores, 0)
	if err != nil {
		return nil, err
	}
	k, _, err := checkMatrix("scores of the classes", classes, m)
	if err != nil {
		return nil, err
	}
	if k < 2 {
		return nil, fmt.Errorf("bottleneck: %d class: %w; give two or more", k, vectors.ErrClasses)
	}
	if power < 1 || power > 9 {
		return nil, argument("power is %d; use 1, or 3", power)
	}
	out := mat.NewDense(n, k, nil)
	out.Mul(powered(scores, power), powered(classes, power).T())
	return out, nil
}

// powered raises each element to a power, sign kept, and scales the rows to length 1.
func powered(x *mat.Dense, power int) *mat.Dense {
	out := mat.DenseCopyOf(x)
	n, _ := out.Dims()
	for i := range n {
		row := out.RawRowView(i)
		largest := 0.0
		for _, v := range row {
			largest = max(largest, math.Abs(v))
		}
		if largest == 0 {
			continue
		}
		norm := 0.0
		for j, v := range row { // of the largest, so that no power overflows
			row[j] = math.Copysign(math.Pow(math.Abs(v)/largest, float64(power)), v)
			norm += row[j] * row[j]
		}
		for j := range row {
			row[j] /= math.Sqrt(norm)
		}
	}
	return out
}

// ArgMax returns the class with the largest logit of each row of [n, k]; the first of equals.
func ArgMax(logits *mat.Dense) []int {
	n, k := logits.Dims()
	out := make([]int, n)
	for i := range n {
		row := logits.RawRowView(i)
		for c := 1; c < k; c++ {
			if row[c] > row[out[i]] {
				out[i] = c
			}
		}
	}
	return out
}

// Hits tells for each row of logits [n, k] whether its largest is that of the label: 1 or 0. It fails on labels for another
// number of rows.
func Hits(logits *mat.Dense, y []int) ([]float64, error) {
	n, _, err := checkMatrix("logits", logits, 0)
	if err != nil {
		return nil, err
	}
	if len(y) != n {
		return nil, fmt.Errorf("bottleneck: %d labels for %d rows: %w", len(y), n, vectors.ErrShape)
	}
	out := make([]float64, n)
	for i, c := range ArgMax(logits) {
		if c == y[i] {
			out[i] = 1
		}
	}
	return out, nil
}
