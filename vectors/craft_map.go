package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Pullback carries a derivative back through a model: for v [d] it returns for each token of a text the derivative of v . a,
// a the text's (or span's) activation that was encoded, times the token's input, summed over the input's entries: gradient x
// input of each token.
type Pullback func(ctx context.Context, v []float64) ([]float64, error)

// TokenMap says how much each token of a span wrote of each concept, [t, r], for the activations [t, d] of its tokens, whose
// mean is encoded: J a_t / t, J the derivative of the codes (CRAFT's attribution maps, by implicit differentiation of the
// non-negative least squares). For concepts by NMF and semi-NMF a concept's column sums to its code.
func (c *Concepts) TokenMap(ctx context.Context, tokens *mat.Dense) (*mat.Dense, error) {
	t, _, err := checkRows("tokens", tokens)
	if err != nil {
		return nil, err
	}
	u, err := c.Encode(ctx, mat.NewDense(1, len(c.Centre), columnMeans(tokens)))
	if err != nil {
		return nil, err
	}
	j, err := c.Jacobian(u.RawRowView(0))
	if err != nil {
		return nil, err
	}
	out := product(centred(tokens, c.Centre), j.T())
	out.Scale(1/float64(t), out)
	return out, nil
}

// InputMap says how much of concept k in an activation a [d] comes from each of a text's input tokens: the concept's row of the
// Jacobian, carried back through the model by pull.
func (c *Concepts) InputMap(ctx context.Context, a []float64, k int, pull Pullback) ([]float64, error) {
	r, _ := c.W.Dims()
	if k < 0 || k >= r {
		return nil, fmt.Errorf("vectors: map of concept %d of %d: %w", k, r, ErrArgument)
	}
	u, err := c.Encode(ctx, mat.NewDense(1, len(a), append([]float64(nil), a...)))
	if err != nil {
		return nil, err
	}
	j, err := c.Jacobian(u.RawRowView(0))
	if err != nil {
		return nil, err
	}
	out, err := pull(ctx, j.RawRowView(k))
	if err != nil {
		return nil, fmt.Errorf("vectors: map of concept %d: %w", k, err)
	}
	return out, nil
}

// SpanScores are the sums of a map's scores [t] over windows of tokens, [spans].
func SpanScores(scores []float64, spans []Span) ([]float64, error) {
	out := make([]float64, len(spans))
	for i, s := range spans {
		if s.From < 0 || s.To > len(scores) || s.From >= s.To {
			return nil, fmt.Errorf("vectors: span %d is tokens %d to %d of %d: %w", i, s.From, s.To, len(scores), ErrShape)
		}
		out[i] = floats.Sum(scores[s.From:s.To])
	}
	return out, nil
}
