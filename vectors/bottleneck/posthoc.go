package bottleneck

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// PostHocConfig says how a post-hoc bottleneck is fitted.
type PostHocConfig struct {
	Head     HeadConfig `json:"head" doc:"the sparse head on the concept scores"`
	Residual bool       `json:"residual" doc:"fit a second head on the embeddings to what the first leaves"`
	Rest     HeadConfig `json:"rest" doc:"the residual head, where there is one"`
}

// DefaultPostHoc is a sparse head without a residual; the residual's penalty is L2 alone.
func DefaultPostHoc() PostHocConfig {
	rest := DefaultHead()
	rest.Alpha = 0
	return PostHocConfig{Head: DefaultHead(), Rest: rest}
}

// Validate names the field that is out of range.
func (c PostHocConfig) Validate() error {
	if err := c.Head.Validate(); err != nil {
		return err
	}
	return c.Rest.Validate()
}

// PostHoc is a bottleneck made of a frozen encoder after the fact (arXiv:2205.15480): a sparse head g on the scores of concepts,
// and where it was asked for a residual r that reads the embedding itself,
//
//	logits(x) = g(scores(x)) + r(x)
//
// The residual wins back what the concepts do not say, and with it the decision is no longer one of concepts alone: report
// both.
type PostHoc struct {
	Scorer   *Scorer
	Head     Head
	Residual *Head // nil without one
}

// FitPostHoc fits the head to the scores of embeddings x [n, d] with labels y among k classes, and then, with g fixed, the
// residual.
func FitPostHoc(ctx context.Context, s *Scorer, x *mat.Dense, y []int, k int, cfg PostHocConfig) (*PostHoc, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	scores, err := s.Apply(x)
	if err != nil {
		return nil, err
	}
	p := &PostHoc{Scorer: s}
	if p.Head, err = FitHead(ctx, scores, y, k, nil, cfg.Head); err != nil {
		return nil, err
	}
	if !cfg.Residual {
		return p, nil
	}
	given, err := p.Head.Logits(scores)
	if err != nil {
		return nil, err
	}
	rest, err := FitHead(ctx, x, y, k, given, cfg.Rest)
	if err != nil {
		return nil, fmt.Errorf("residual: %w", err)
	}
	p.Residual = &rest
	return p, nil
}

// Logits returns [n, k] for embeddings x [n, d].
func (p *PostHoc) Logits(x *mat.Dense) (*mat.Dense, error) {
	scores, err := p.Scorer.Apply(x)
	if err != nil {
		return nil, err
	}
	out, err := p.Head.Logits(scores)
	if err != nil || p.Residual == nil {
		return out, err
	}
	rest, err := p.Residual.Logits(x)
	if err != nil {
		return nil, err
	}
	out.Add(out, rest)
	return out, nil
}
