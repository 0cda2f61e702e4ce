package bottleneck

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// ConceptKernel is the kernel of a determinantal point process over concepts,
//
//	L_ij = q_i q_j cos(v_i, v_j)
//
// with the quality q [m] of each concept (such as its similarity to the class), nil for ones: sets of concepts that are
// good and unlike each other have large determinants.
func ConceptKernel(b Bank, quality []float64) (*mat.SymDense, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	m := b.Len()
	if quality != nil && len(quality) != m {
		return nil, fmt.Errorf("bottleneck: qualities of %d concepts for %d: %w", len(quality), m, vectors.ErrShape)
	}
	out := mat.NewSymDense(m, nil)
	for i := range m {
		x := b.Vectors.RawRowView(i)
		for j := i; j < m; j++ {
			y := b.Vectors.RawRowView(j)
			v := floats.Dot(x, y) / (floats.Norm(x, 2) * floats.Norm(y, 2))
			if quality != nil {
				v *= quality[i] * quality[j]
			}
			if math.IsNaN(v) || math.IsInf(v, 0) || quality != nil && quality[i] < 0 {
				return nil, fmt.Errorf("bottleneck: quality %v of concept %q: %w; it must be 0 or more", quality[i], b.Names[i], vectors.ErrNotFinite)
			}
			out.SetSym(i, j, v)
		}
	}
	return out, nil
}

// Chosen is a set of concepts in the order in which they were chosen.
type Chosen struct {
	Items  []int
	LogDet []float64 // log det of the kernel on the first 1, 2, ... items
}

// ChooseDPP takes count items one by one, each the one that adds most to log det L on the chosen set: the greedy maximum of a
// determinantal point process. With A the kernel on the chosen set and C_i its row to item i, an item multiplies the
// determinant by
//
//	d_i² = L_ii - C_i A^-1 C_iᵀ
//
// which is kept up to date by one column of the Cholesky factor an item (arXiv:1709.05135, algorithm 1), in O(count² m). The
// greedy set need not be the best. Of equal items the first is taken. It is an error when count items do not span count
// dimensions: every further set has determinant 0, and the items chosen until then are returned with it.
func ChooseDPP(kernel *mat.SymDense, count int) (Chosen, error) {
	if kernel == nil || kernel.IsEmpty() {
		return Chosen{}, fmt.Errorf("bottleneck: no kernel: %w", vectors.ErrShape)
	}
	m := kernel.SymmetricDim()
	if count < 1 || count > m {
		return Chosen{}, argument("choose %d of %d concepts", count, m)
	}
	gain, largest := make([]float64, m), 0.0
	for i := range m {
		gain[i] = kernel.At(i, i)
		largest = max(largest, gain[i])
		for j := range m {
			if v := kernel.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return Chosen{}, fmt.Errorf("bottleneck: kernel[%d, %d] is %v: %w", i, j, v, vectors.ErrNotFinite)
			}
		}
	}
	factor := mat.NewDense(m, count, nil) // rows of the Cholesky factor
	taken := make([]bool, m)
	var out Chosen
	total := 0.0
	for step := range count {
		best := -1
		for i, g := range gain {
			if !taken[i] && (best < 0 || g > gain[best]) {
				best = i
			}
		}
		if gain[best] <= 1e-12*largest { // rounding of a sum of squares that is 0
			return out, fmt.Errorf("bottleneck: the concepts span %d dimensions and %d were asked for: %w; ask for fewer, or drop doubles", step, count, vectors.ErrSingular)
		}
		taken[best] = true
		total += math.Log(gain[best])
		out.Items, out.LogDet = append(out.Items, best), append(out.LogDet, total)
		root, mine := math.Sqrt(gain[best]), factor.RawRowView(best)[:step]
		for i := range m {
			if taken[i] {
				continue
			}
			row := factor.RawRowView(i)
			row[step] = (kernel.At(best, i) - floats.Dot(mine, row[:step])) / root
			gain[i] -= row[step] * row[step]
		}
	}
	return out, nil
}
