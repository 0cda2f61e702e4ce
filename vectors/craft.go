package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// CRAFT is concept recursive activation factorization (Fel et al., arXiv:2211.10154) of texts: concepts of the mean activations of
// spans of tokens, in the place of image crops. The paper's extractor is NMFExtractor, for activations >= 0 (after a ReLU, or
// SplitSigns); SemiNMFExtractor takes any.
type CRAFT struct {
	Spans    []Span
	Concepts *Concepts // their U is [spans, r]
}

// FitCRAFT extracts r concepts from spans of texts with activations [tokens, d].
func FitCRAFT(ctx context.Context, x Extractor, texts []*mat.Dense, spans []Span, r int, seed uint64) (*CRAFT, error) {
	means, err := SpanMeans(texts, spans)
	if err != nil {
		return nil, err
	}
	c, err := x.Extract(ctx, means, r, seed)
	if err != nil {
		return nil, fmt.Errorf("vectors: CRAFT: %w", err)
	}
	return &CRAFT{spans, c}, nil
}

// Strongest are the places in Spans of the most spans that hold most of concept k, those that hold none left out.
func (c *CRAFT) Strongest(k, most int) ([]int, error) {
	n, r := c.Concepts.U.Dims()
	if k < 0 || k >= r || most < 1 {
		return nil, fmt.Errorf("vectors: CRAFT: the %d strongest spans of concept %d of %d: %w", most, k, r, ErrArgument)
	}
	codes := mat.Col(nil, k, c.Concepts.U)
	places := largestIndices(codes, min(most, n))
	for i, p := range places {
		if codes[p] <= 0 {
			return places[:i], nil
		}
	}
	return places, nil
}

// Recurse splits concept k, where it mixes what belongs apart, into r concepts of an earlier layer, whose activations of the
// same texts are given: those of the spans that hold most of it, at most `most` of them. What it returns can be split again.
func (c *CRAFT) Recurse(ctx context.Context, x Extractor, earlier []*mat.Dense, k, most, r int, seed uint64) (*CRAFT, error) {
	places, err := c.Strongest(k, most)
	if err != nil {
		return nil, err
	}
	if len(places) < r {
		return nil, fmt.Errorf("vectors: CRAFT: concept %d is in %d spans, too few for %d concepts: %w", k, len(places), r, ErrArgument)
	}
	spans := make([]Span, len(places))
	for i, p := range places {
		spans[i] = c.Spans[p]
	}
	return FitCRAFT(ctx, x, earlier, spans, r, seed)
}
