package erase

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// RealEraConfig are the settings of RealEra's closed form; the paper's values are not published.
type RealEraConfig struct {
	Beta       float64 `json:"beta" doc:"weight of each embedding beyond the concept, which is kept"`
	PriorScale float64 `json:"prior_scale" doc:"weight of the mean second moment of ordinary text, where a prior is given"`
	Lambda     float64 `json:"lambda" doc:"weight of |W' - W|²"`
}

// DefaultRealEra weighs what is kept as what is mapped, with UCE's lambda.
func DefaultRealEra() RealEraConfig { return RealEraConfig{Beta: 1, PriorScale: 1, Lambda: 0.5} }

// Validate fails on a setting that is no number from 0.
func (c RealEraConfig) Validate() error {
	return checkScales(scale{"beta", c.Beta}, scale{"prior_scale", c.PriorScale}, scale{"lambda", c.Lambda})
}

// RealEra maps all that is near a concept to an anchor [d] and keeps what lies beyond it:
//
//	W' = (sum W a n' + beta sum W z z' + W prior + lambda W) (sum n n' + beta sum z z' + prior + lambda I)^-1
//
// over near n and beyond z. It is the closed-form half of the method; its adapter on the denoiser is not here.
func RealEra(mined *Mined, anchor []float64, prior *Prior, cfg RealEraConfig) (*Edit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	near, beyond := mined.picked(mined.Near), mined.picked(mined.Beyond)
	if near == nil {
		return nil, fmt.Errorf("erase: no candidate is near the concept: %w; raise distance, lower min_cosine, or draw smaller noise", vectors.ErrArgument)
	}
	_, d := near.Dims()
	if len(anchor) != d {
		return nil, fmt.Errorf("erase: anchor of width %d for concepts of width %d: %w", len(anchor), d, vectors.ErrShape)
	}
	r, err := Request{Concepts: near, Anchors: mat.NewDense(1, d, anchor), Preserve: beyond, Prior: prior}.check()
	if err != nil {
		return nil, err
	}
	n, _ := near.Dims()
	s := normal{from: near, weight: ones(n, 1), keep: r.kept(cfg.Beta), moment: prior.scaled(cfg.PriorScale), lambda: cfg.Lambda, cure: "lambda"}
	m, err := s.mapTo(r.Anchors)
	if err != nil {
		return nil, err
	}
	return newEdit(m, r)
}
