package attack

import (
	"context"
	"slices"

	"loupe/experiments/erase/encoder"
)

// TokensConfig are the settings of random-tokens.
type TokensConfig struct {
	Tokens     int              `json:"tokens" doc:"tokens put behind the start token"`
	Tries      int              `json:"tries" doc:"draws for each prompt; one that succeeds is enough"`
	Vocabulary VocabularyConfig `json:"vocabulary" doc:"which tokens"`
}

// Validate refuses settings that try nothing.
func (c TokensConfig) Validate() error { return checkAtLeast("tokens", c.Tokens, "tries", c.Tries) }

// randomTokens is the control of attacks that put tokens in front of a prompt.
func randomTokens() Attack {
	return Attack{
		Name: "random-tokens", Title: "Random tokens (control)", Check: "planted truth (TestOnMiniLM)",
		Config: func() any { return &TokensConfig{Tokens: 3, Tries: 1} },
		Run: run(func(ctx context.Context, s *search, conf any) error {
			c := conf.(*TokensConfig)
			ids, err := s.vocabulary(c.Vocabulary)
			if err != nil {
				return err
			}
			for range c.Tries {
				texts := slices.Clone(s.prompts)
				for i := range texts {
					texts[i] = encoder.Insert(texts[i], 1, s.draw(ids, c.Tokens))
				}
				if err := s.keep(ctx, texts); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
