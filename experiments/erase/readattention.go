package erase

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// ReadAttention reads states h [T, d] as one head of cross-attention does, in place of a denoiser: softmax(q (h k')' / sqrt w) h v'
// for queries q [m, w], k and v [w, d]. Published image numbers cannot be had from it.
func ReadAttention(h, k, v, q *mat.Dense) (*mat.Dense, error) {
	_, d, err := checkRows("states", h, 0)
	if err != nil {
		return nil, err
	}
	w, _, err := checkRows("W_K", k, d)
	if err != nil {
		return nil, err
	}
	if _, _, err := checkRows("W_V", v, d); err != nil {
		return nil, err
	}
	m, width, err := checkRows("queries", q, 0)
	if err != nil {
		return nil, err
	}
	if width != w {
		return nil, fmt.Errorf("erase: queries of width %d for keys of width %d: %w", width, w, vectors.ErrShape)
	}
	var scores, out mat.Dense
	scores.Mul(q, times(h, k).T())
	for i := range m {
		softmax(scores.RawRowView(i), 1/math.Sqrt(float64(w)))
	}
	out.Mul(&scores, times(h, v))
	return &out, nil
}

// softmax of scale x in place.
func softmax(x []float64, scale float64) {
	top := floats.Max(x)
	for i, v := range x {
		x[i] = math.Exp(scale * (v - top))
	}
	floats.Scale(1/floats.Sum(x), x)
}
