package erase

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TRCEPair is a sentence with the concept and the same sentence with a safe one in its place.
type TRCEPair struct {
	Malicious *mat.Dense // [T, d], its tokens' embeddings
	Safe      *mat.Dense // [T, d]
	FirstEOT  int        // place of the first end-of-text token of both; later ones are padding
	Keywords  []int      // places of the concept's words in Malicious; nil: none
}

// TRCEConfig are the settings of TRCE's first stage. The four scales weigh the places that are mapped.
type TRCEConfig struct {
	SoT        float64 `json:"sot" doc:"scale of the start-of-text token"`
	FirstEOT   float64 `json:"first_eot" doc:"scale of the first end-of-text token"`
	LastEOT    float64 `json:"last_eot" doc:"scale of the last token, times the number of tokens after the first end-of-text token"`
	Keyword    float64 `json:"keyword" doc:"scale of each keyword, which is mapped to the safe sentence's last token"`
	PriorScale float64 `json:"prior_scale" doc:"weight of the mean second moment of ordinary text (eta)"`
	Lambda     float64 `json:"lambda" doc:"weight of |W' - W|²; 0 in the published code, whose prior has full rank"`
}

// DefaultTRCE returns the published settings: only the first end-of-text token is mapped.
func DefaultTRCE() TRCEConfig { return TRCEConfig{FirstEOT: 1, PriorScale: 0.01} }

// Validate fails on a scale that is no number from 0, and where no place is mapped.
func (c TRCEConfig) Validate() error {
	if err := checkScales(scale{"sot", c.SoT}, scale{"first_eot", c.FirstEOT}, scale{"last_eot", c.LastEOT}, scale{"keyword", c.Keyword}, scale{"prior_scale", c.PriorScale}, scale{"lambda", c.Lambda}); err != nil {
		return err
	}
	if c.SoT+c.FirstEOT+c.LastEOT+c.Keyword == 0 {
		return fmt.Errorf("erase: all scales of places are 0: %w; set first_eot to 1", vectors.ErrArgument)
	}
	return nil
}

// TRCE maps the end-of-text embeddings of sentences with a concept to those of their safe twins (stage 1 of Chen et al.,
// arXiv:2503.07389), so that prompts that never name the concept are mapped with them:
//
//	W' = ((1/n) sum w W s t' + eta M W + lambda W) ((1/n) sum w t t' + eta M + lambda I)^-1
//
// over the n pairs' places, t of the sentence, s of its twin, and M the mean second moment of ordinary text. prior may be nil
// where lambda is not 0. In an encoder without end-of-text tokens FirstEOT is the place of what is pooled, such as [CLS]. The
// edit's Errors.Erased is over the mapped places.
func TRCE(pairs []TRCEPair, prior *Prior, cfg TRCEConfig) (*Edit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("erase: TRCE without pairs of sentences: %w", vectors.ErrShape)
	}
	var from, to, weight []float64
	width := 0
	for i, p := range pairs {
		t, d, err := checkRows(fmt.Sprintf("pair %d, sentence", i), p.Malicious, width)
		if err != nil {
			return nil, err
		}
		if rows, _, err := checkRows(fmt.Sprintf("pair %d, safe sentence", i), p.Safe, d); err != nil {
			return nil, err
		} else if rows != t {
			return nil, fmt.Errorf("erase: pair %d has sentences of %d and %d tokens: %w; pad both alike", i, t, rows, vectors.ErrShape)
		}
		if p.FirstEOT < 0 || p.FirstEOT >= t {
			return nil, fmt.Errorf("erase: pair %d: first end-of-text token at %d of %d: %w", i, p.FirstEOT, t, vectors.ErrArgument)
		}
		width = d
		add := func(at, safe int, w float64) {
			if w > 0 {
				from, to, weight = append(from, p.Malicious.RawRowView(at)...), append(to, p.Safe.RawRowView(safe)...), append(weight, w/float64(len(pairs)))
			}
		}
		add(0, 0, cfg.SoT)
		add(p.FirstEOT, p.FirstEOT, cfg.FirstEOT)
		add(t-1, t-1, cfg.LastEOT*float64(t-1-p.FirstEOT))
		for _, k := range p.Keywords {
			if k < 0 || k >= t {
				return nil, fmt.Errorf("erase: pair %d: keyword at %d of %d: %w", i, k, t, vectors.ErrArgument)
			}
			add(k, t-1, cfg.Keyword)
		}
	}
	if len(weight) == 0 {
		return nil, fmt.Errorf("erase: no pair has a place with a scale above 0: %w; set first_eot to 1", vectors.ErrArgument)
	}
	if err := prior.check(width); err != nil {
		return nil, err
	}
	r := Request{Concepts: mat.NewDense(len(weight), width, from), Anchors: mat.NewDense(len(weight), width, to), Prior: prior}
	s := normal{from: r.Concepts, weight: weight, moment: prior.scaled(cfg.PriorScale), lambda: cfg.Lambda, cure: "lambda"}
	m, err := s.mapTo(r.Anchors)
	if err != nil {
		return nil, err
	}
	return newEdit(m, r)
}
