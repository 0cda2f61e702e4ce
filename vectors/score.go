package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// Score is a function of one row to a number, such as a probe's logit or what the rest of a model makes of an activation:
// what the importance of concepts is about. Linear is one, and ScoreFunc makes others.
type Score interface {
	// Values returns the score of each row of x [n, d].
	Values(ctx context.Context, x *mat.Dense) ([]float64, error)
	// Gradients returns the derivative of each row's score with respect to the row, [n, d].
	Gradients(ctx context.Context, x *mat.Dense) (*mat.Dense, error)
}

// Values is Score's.
func (l Linear) Values(_ context.Context, x *mat.Dense) ([]float64, error) { return l.Scores(x) }

// Gradients is Score's: the weights, for every row.
func (l Linear) Gradients(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("weights", len(l.Weights), d); err != nil {
		return nil, err
	}
	out := mat.NewDense(n, d, nil)
	for i := range n {
		out.SetRow(i, l.Weights)
	}
	return out, nil
}

// ScoreFunc is a Score of functions of one row. A nil Gradient leaves the methods that need one out.
type ScoreFunc struct {
	Value    func(x []float64) float64
	Gradient func(x []float64) []float64
}

// Values is Score's.
func (f ScoreFunc) Values(ctx context.Context, x *mat.Dense) ([]float64, error) {
	n, _, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	out := make([]float64, n)
	for i := range out {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: score: %w", err)
		}
		out[i] = f.Value(x.RawRowView(i))
	}
	return out, nil
}

// Gradients is Score's.
func (f ScoreFunc) Gradients(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if f.Gradient == nil {
		return nil, fmt.Errorf("vectors: score without a gradient: %w; use occlusion, Sobol or Shapley", ErrArgument)
	}
	out := mat.NewDense(n, d, nil)
	for i := range n {
		g := f.Gradient(x.RawRowView(i))
		if err := checkWidth("gradient", len(g), d); err != nil {
			return nil, err
		}
		out.SetRow(i, g)
	}
	return out, nil
}

// Score is a score of activations as one of codes: head(Centre + u W).
func (c *Concepts) Score(head Score) Score { return conceptScore{c, head} }

type conceptScore struct {
	concepts *Concepts
	head     Score
}

func (s conceptScore) Values(ctx context.Context, u *mat.Dense) ([]float64, error) {
	a, err := s.concepts.Decode(u)
	if err != nil {
		return nil, err
	}
	return s.head.Values(ctx, a)
}

func (s conceptScore) Gradients(ctx context.Context, u *mat.Dense) (*mat.Dense, error) {
	a, err := s.concepts.Decode(u)
	if err != nil {
		return nil, err
	}
	g, err := s.head.Gradients(ctx, a)
	if err != nil {
		return nil, err
	}
	return product(g, s.concepts.W.T()), nil
}
