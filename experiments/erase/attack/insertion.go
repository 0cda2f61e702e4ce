package attack

import (
	"context"
	"slices"

	"loupe/experiments/erase/encoder"
	"loupe/probe/token"
)

// InsertionConfig are the settings of insertion.
type InsertionConfig struct {
	Tokens     int              `json:"tokens" doc:"tokens put behind the start token, one after the other"`
	Candidates int              `json:"candidates" doc:"tokens of the vocabulary that are tried for each place; 0: all"`
	Vocabulary VocabularyConfig `json:"vocabulary" doc:"which tokens"`
}

// Validate refuses settings that try nothing.
func (c InsertionConfig) Validate() error {
	return checkAtLeast("tokens", c.Tokens, "candidates + 1", c.Candidates+1)
}

// insertion puts, place by place, the token in front of a prompt that brings its embedding nearest to the concept, by queries alone.
func insertion() Attack {
	return Attack{
		Name: "insertion", Title: "Greedy token insertion", Check: "planted key (TestOnMiniLM)",
		Config: func() any { return &InsertionConfig{Tokens: 2, Candidates: 100} },
		Run: run(func(ctx context.Context, s *search, conf any) error {
			c := conf.(*InsertionConfig)
			ids, err := s.vocabulary(c.Vocabulary)
			if err != nil {
				return err
			}
			best := slices.Clone(s.prompts)
			for range c.Tokens {
				if best, err = s.bestToken(ctx, best, ids, c.Candidates); err != nil {
					return err
				}
				if err := s.keep(ctx, best); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// bestToken puts the best of so many tokens in front of each text, on the attack's surface.
func (s *search) bestToken(ctx context.Context, texts []token.Encoding, ids []int32, candidates int) ([]token.Encoding, error) {
	tried := ids
	if candidates > 0 && candidates < len(ids) {
		tried = make([]int32, candidates)
		for i, at := range s.rng.Perm(len(ids))[:candidates] {
			tried[i] = ids[at]
		}
	}
	var all []token.Encoding
	for _, t := range texts {
		for _, id := range tried {
			all = append(all, encoder.Insert(t, 1, []int32{id}))
		}
	}
	hits, losses, err := s.judge(ctx, s.surface(), all)
	if err != nil {
		return nil, err
	}
	out := make([]token.Encoding, len(texts))
	for i := range texts {
		first := i * len(tried)
		best := first
		for j := first; j < first+len(tried); j++ {
			if better(hits[j], losses[j], hits[best], losses[best]) {
				best = j
			}
		}
		out[i] = all[best]
	}
	return out, nil
}

// better prefers a hit, then a smaller loss.
func better(hit bool, loss float64, bestHit bool, bestLoss float64) bool {
	if hit != bestHit {
		return hit
	}
	return loss < bestLoss
}
