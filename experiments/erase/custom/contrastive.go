package custom

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// SupCon is the supervised contrastive loss of rows x [n, d] with labels [n], and its gradient [n, d] with respect to x
// (Khosla et al., arXiv:2004.11362, eq. 2). With z the unit rows and P(i) the other rows of i's label,
//
//	L = mean_i [ logsumexp_{a != i} (z_i . z_a / t) - mean_{p in P(i)} z_i . z_p / t ]
//
// over the rows that have a P(i). Where each label has two rows it is InfoNCE in its NT-Xent form.
func SupCon(x *mat.Dense, label []int, temperature float64) (loss float64, gradient *mat.Dense, err error) {
	n, d, err := checkMatrix("contrasted rows", x, 0)
	if err != nil {
		return 0, nil, err
	}
	if len(label) != n {
		return 0, nil, fmt.Errorf("custom: %d labels for %d rows: %w", len(label), n, vectors.ErrShape)
	}
	if !(temperature > 0) || math.IsInf(temperature, 0) {
		return 0, nil, fmt.Errorf("custom: temperature is %v: %w; use a positive number, 0.07 is usual", temperature, vectors.ErrArgument)
	}
	size := make(map[int]int)
	for _, l := range label {
		size[l]++
	}
	anchors := 0
	for _, l := range label {
		if size[l] > 1 {
			anchors++
		}
	}
	if anchors == 0 || len(size) < 2 {
		return 0, nil, fmt.Errorf("custom: %d labels over %d rows: %w; a contrast needs two labels, one of them with two rows", len(size), n, vectors.ErrClasses)
	}
	z, norms := unitRows(x)
	s := mat.NewDense(n, n, nil)
	s.Mul(z, z.T())
	s.Scale(1/temperature, s)
	back := mat.NewDense(n, n, nil) // dL/ds
	others := make([]float64, 0, n)
	for i, l := range label {
		positives := float64(size[l] - 1)
		if positives == 0 {
			continue
		}
		row, g := s.RawRowView(i), back.RawRowView(i)
		others = append(append(others[:0], row[:i]...), row[i+1:]...)
		norm := floats.LogSumExp(others)
		loss += norm
		for a, v := range row {
			if a == i {
				continue
			}
			g[a] = math.Exp(v-norm) / float64(anchors)
			if label[a] == l {
				loss -= v / positives
				g[a] -= 1 / positives / float64(anchors)
			}
		}
	}
	gradient = mat.NewDense(n, d, nil)
	var both mat.Dense
	both.Add(back, back.T())
	gradient.Mul(&both, z)
	gradient.Scale(1/temperature, gradient)
	throughUnit(gradient, z, norms)
	return loss / float64(anchors), gradient, nil
}
