package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// assign pairs each row of a cost matrix [n, m], n <= m, with a column of its own so that the sum of costs is least: the
// Hungarian method by shortest augmenting paths, O(n² m) (Jonker and Volgenant, Computing 38, 1987).
func assign(cost mat.Matrix) []int {
	n, m := cost.Dims()
	rowPrice, columnPrice := make([]float64, n+1), make([]float64, m+1)
	owner, from := make([]int, m+1), make([]int, m+1) // of columns, counted from 1; 0 is nobody
	for i := 1; i <= n; i++ {
		owner[0] = i
		least, used := make([]float64, m+1), make([]bool, m+1)
		for j := range least {
			least[j] = math.Inf(1)
		}
		at := 0
		for owner[at] != 0 {
			used[at] = true
			row, step, next := owner[at], math.Inf(1), 0
			for j := 1; j <= m; j++ {
				if used[j] {
					continue
				}
				if c := cost.At(row-1, j-1) - rowPrice[row] - columnPrice[j]; c < least[j] {
					least[j], from[j] = c, at
				}
				if least[j] < step {
					step, next = least[j], j
				}
			}
			for j := range least {
				if used[j] {
					rowPrice[owner[j]] += step
					columnPrice[j] -= step
				} else {
					least[j] -= step
				}
			}
			at = next
		}
		for at != 0 {
			owner[at] = owner[from[at]]
			at = from[at]
		}
	}
	out := make([]int, n)
	for j := 1; j <= m; j++ {
		if owner[j] > 0 {
			out[owner[j]-1] = j - 1
		}
	}
	return out
}

// MatchCosines pairs the rows of a [r, d] with different rows of b [s, d], r <= s, so that the sum of cosines is largest, and
// returns each row's partner and cosine. With eitherSign a row and its negative are the same direction. Rows of zeros have cosine
// 0.
func MatchCosines(a, b *mat.Dense, eitherSign bool) (partner []int, cosine []float64, err error) {
	r, d, err := checkRows("a", a)
	if err != nil {
		return nil, nil, err
	}
	s, width, err := checkRows("b", b)
	if err != nil {
		return nil, nil, err
	}
	if width != d || r > s {
		return nil, nil, fmt.Errorf("vectors: match %d rows of width %d with %d of width %d: %w", r, d, s, width, ErrShape)
	}
	cost := mat.NewDense(r, s, nil)
	for i := range r {
		for j := range s {
			c := cosineOf(a.RawRowView(i), b.RawRowView(j))
			switch {
			case math.IsNaN(c):
			case eitherSign:
				cost.Set(i, j, -math.Abs(c))
			default:
				cost.Set(i, j, -c)
			}
		}
	}
	partner = assign(cost)
	cosine = make([]float64, r)
	for i, j := range partner {
		cosine[i] = -cost.At(i, j)
	}
	return partner, cosine, nil
}
