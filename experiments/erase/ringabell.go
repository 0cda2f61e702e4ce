package erase

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// RingABell is the concept tensor of Ring-A-Bell (Tsai et al., arXiv:2310.10012): the mean difference [T, d] of the original
// encoder's states for prompts with a concept and their twins without it. A prompt's states plus eta times it are the target that
// the attack's tokens are searched for; eta is 3 for nudity, 5 to 5.5 for violence in the published code.
func RingABell(with, without []*mat.Dense) (*mat.Dense, error) {
	if len(with) == 0 || len(with) != len(without) {
		return nil, fmt.Errorf("erase: %d prompts with the concept and %d without: %w; give pairs", len(with), len(without), vectors.ErrShape)
	}
	n, d, err := checkRows("prompt 0", with[0], 0)
	if err != nil {
		return nil, err
	}
	sum := mat.NewDense(n, d, nil)
	for i := range with {
		for k, x := range []*mat.Dense{with[i], without[i]} {
			rows, _, err := checkRows(fmt.Sprintf("pair %d, prompt %d", i, k), x, d)
			if err != nil {
				return nil, err
			}
			if rows != n {
				return nil, fmt.Errorf("erase: pair %d has %d tokens, others %d: %w; pad all alike", i, rows, n, vectors.ErrShape)
			}
		}
		sum.Add(sum, with[i])
		sum.Sub(sum, without[i])
	}
	sum.Scale(1/float64(len(with)), sum)
	return sum, nil
}

// RingABellTarget is states + eta vector, all [T, d].
func RingABellTarget(states, vector *mat.Dense, eta float64) (*mat.Dense, error) {
	n, d, err := checkRows("states", states, 0)
	if err != nil {
		return nil, err
	}
	if rows, _, err := checkRows("concept tensor", vector, d); err != nil || rows != n {
		return nil, fmt.Errorf("erase: a concept tensor of %d tokens for %d: %w", rows, n, vectors.ErrShape)
	}
	var out mat.Dense
	out.Scale(eta, vector)
	out.Add(&out, states)
	return &out, nil
}
