package erase

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// The published weights of HiRM's targets: of random unit vectors (HiRM-R) and of the states of a super-category's prompt (HiRM-S).
const (
	HiRMRandom   = 500
	HiRMSemantic = 1
)

// HiRM is the loss that drives the last layer's states h [T, d] of a concept's prompt to c times a target [T, d], and its gradient
// with respect to h:
//
//	L = (1/n) sum_t |h_t - c r_t|²,   dL/dh_t = (2/n) (h_t - c r_t)
//
// over the n tokens that valid names (nil: all of them). Only the first layer of the encoder is trained with it.
func HiRM(h, target *mat.Dense, c float64, valid []bool) (loss float64, gradient *mat.Dense, err error) {
	tokens, d, err := checkRows("states", h, 0)
	if err != nil {
		return 0, nil, err
	}
	if rows, _, err := checkRows("target", target, d); err != nil || rows != tokens {
		return 0, nil, fmt.Errorf("erase: %d target states for %d: %w", rows, tokens, vectors.ErrShape)
	}
	n := tokens
	if valid != nil {
		if len(valid) != tokens {
			return 0, nil, fmt.Errorf("erase: a mask of %d for %d tokens: %w", len(valid), tokens, vectors.ErrShape)
		}
		n = 0
		for _, v := range valid {
			if v {
				n++
			}
		}
		if n == 0 {
			return 0, nil, fmt.Errorf("erase: the mask leaves no token: %w", vectors.ErrArgument)
		}
	}
	gradient = mat.NewDense(tokens, d, nil)
	for t := range tokens {
		if valid != nil && !valid[t] {
			continue
		}
		row := gradient.RawRowView(t)
		floats.AddScaledTo(row, h.RawRowView(t), -c, target.RawRowView(t))
		loss += floats.Dot(row, row) / float64(n)
		floats.Scale(2/float64(n), row)
	}
	return loss, gradient, nil
}
