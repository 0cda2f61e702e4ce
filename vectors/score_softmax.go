package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// ClassProbability is the Score that a Softmax gives one class.
type ClassProbability struct {
	Softmax *Softmax
	Class   int
}

// Values is Score's: the probability of the class.
func (s ClassProbability) Values(_ context.Context, x *mat.Dense) ([]float64, error) {
	p, err := s.probabilities(x)
	if err != nil {
		return nil, err
	}
	return mat.Col(nil, s.Class, p), nil
}

// Gradients is Score's: p_c (w_c - sum_k p_k w_k).
func (s ClassProbability) Gradients(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
	p, err := s.probabilities(x)
	if err != nil {
		return nil, err
	}
	out := product(p, s.Softmax.Weights)
	n, _ := out.Dims()
	for i := range n {
		row, at := out.RawRowView(i), p.At(i, s.Class)
		floats.Scale(-at, row)
		floats.AddScaled(row, at, s.Softmax.Weights.RawRowView(s.Class))
	}
	return out, nil
}

func (s ClassProbability) probabilities(x *mat.Dense) (*mat.Dense, error) {
	if err := s.Softmax.checkClass(s.Class); err != nil {
		return nil, err
	}
	return s.Softmax.Probabilities(x)
}

// Margin is the Linear score of a class over the mean of the others: its logit less theirs.
func (s *Softmax) Margin(class int) (Linear, error) {
	if err := s.checkClass(class); err != nil {
		return Linear{}, err
	}
	k, d := s.Weights.Dims()
	l := Linear{Weights: make([]float64, d)}
	for c := range k {
		f := -1 / float64(k-1)
		if c == class {
			f = 1
		}
		floats.AddScaled(l.Weights, f, s.Weights.RawRowView(c))
		l.Bias += f * s.Bias[c]
	}
	return l, nil
}

func (s *Softmax) checkClass(class int) error {
	if k, _ := s.Weights.Dims(); class < 0 || class >= k || k < 2 {
		return fmt.Errorf("vectors: class %d of %d: %w", class, k, ErrArgument)
	}
	return nil
}
