package text

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Labelled is one sentence of a concept's data.
type Labelled struct {
	Text     string
	Concept  string
	Positive bool   // whether the word is of the concept
	Template string // the template as written, which names it
	Word     string // the word as it stands in the text at Span
	Entry    string // the word's key: all its forms have the same
	Category string // the word's category; the concept for a positive
	Span     [2]int // half-open, in code points
	Split    string // Train or HeldOut
	Pair     int    // the positive and its matched negative have the same number, from 0
}

// GenerateConfig says what to generate.
type GenerateConfig struct {
	Concepts     []string `json:"concepts" yaml:"concepts" mapstructure:"concepts" doc:"names of concepts; empty: all"`
	Seed         int64    `json:"seed" yaml:"seed" mapstructure:"seed" doc:"seed of the split and of the choice of sentences"`
	Train        int      `json:"train" yaml:"train" mapstructure:"train" doc:"training pairs for each concept"`
	HeldOut      int      `json:"held_out" yaml:"held_out" mapstructure:"held_out" doc:"held-out pairs for each concept"`
	HeldOutShare float64  `json:"held_out_share" yaml:"held_out_share" mapstructure:"held_out_share" doc:"share of the words and of the templates that are held out"`
}

// DefaultGenerateConfig returns 200 training pairs and 60 held-out pairs for every concept.
func DefaultGenerateConfig() GenerateConfig {
	return GenerateConfig{Train: 200, HeldOut: 60, HeldOutShare: 0.3}
}

// Validate checks the values and names the first wrong one.
func (g GenerateConfig) Validate() error {
	switch {
	case g.Train < 0 || g.HeldOut < 0:
		return fmt.Errorf("text: concepts: train is %d and held_out %d pairs; use 0 or more", g.Train, g.HeldOut)
	case g.Train+g.HeldOut == 0:
		return fmt.Errorf("text: concepts: train and held_out are both 0; set one")
	case !(g.HeldOutShare > 0 && g.HeldOutShare < 1):
		return fmt.Errorf("text: concepts: held_out_share is %v; use a share above 0 and below 1", g.HeldOutShare)
	}
	for i, name := range g.Concepts {
		if slices.Contains(g.Concepts[:i], name) {
			return fmt.Errorf("text: concepts: %q is listed twice; remove one", name)
		}
	}
	return nil
}

// Generate returns, for each concept in the order of cfg.Concepts (or of Concepts), training pairs and then held-out
// pairs; each pair is a positive sentence followed by its matched negative. The negative fills the same template with a
// word of another category that takes the same article, is a plural where the positive is one, and has the same final
// mark (except where the mark is part of the concept, as for questions). No text occurs twice. A word or a template is in the same split for all concepts, and for
// equal seeds in all calls; which sentences a concept gets depends on the concepts before it.
func (s *Suite) Generate(cfg GenerateConfig) ([]Labelled, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	names := cfg.Concepts
	if len(names) == 0 {
		names = s.Concepts()
	}
	g := generator{suite: s, split: s.split(cfg.Seed, cfg.HeldOutShare), used: map[string]bool{}}
	for _, name := range names {
		c, err := s.concept(name)
		if err != nil {
			return nil, err
		}
		for _, part := range []struct {
			split string
			want  int
		}{{Train, cfg.Train}, {HeldOut, cfg.HeldOut}} {
			g.rng = rand.New(rand.NewPCG(uint64(cfg.Seed), seededHash(cfg.Seed, "generate", part.split+c.name)))
			if got := g.pairs(c, part.split, part.want); got < part.want {
				return nil, fmt.Errorf("text: concept %s: %d %s pairs asked for, but its words and templates give only %d; ask for fewer pairs, or change held_out_share (%v)",
					name, part.want, part.split, got, cfg.HeldOutShare)
			}
		}
	}
	return g.out, nil
}
