package attack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"loupe/probe/token"
)

// NoConfig are the settings of an attack that has none.
type NoConfig struct{}

// Validate implements the check of settings.
func (NoConfig) Validate() error { return nil }

// paraphrase says each prompt again with the concept's synonyms.
func paraphrase() Attack {
	return Attack{
		Name: "paraphrase", Title: "Paraphrase by synonyms", Check: "hand, planted truth (TestOnMiniLM)", Config: func() any { return &NoConfig{} },
		Run: run(func(ctx context.Context, s *search, _ any) error {
			return s.rephrase(ctx, len(s.g.Target.Synonyms), func(prompt string, k int) (string, error) {
				if i := slices.Index(s.g.Target.Held, prompt); i >= 0 && k < len(s.g.Target.SynonymHeld) {
					return s.g.Target.SynonymHeld[k][i], nil
				}
				return instead(prompt, s.g.Target.Name, s.g.Target.Synonyms[k])
			})
		}),
	}
}

// implicit says each prompt again with descriptions that do not name the concept.
func implicit() Attack {
	return Attack{
		Name: "implicit", Title: "Implicit prompts by descriptions", Check: "hand, planted truth (TestOnMiniLM)", Config: func() any { return &NoConfig{} },
		Run: run(func(ctx context.Context, s *search, _ any) error {
			return s.rephrase(ctx, len(s.g.Target.Descriptions), func(prompt string, k int) (string, error) {
				return instead(prompt, s.g.Target.Name, s.g.Target.Descriptions[k])
			})
		}),
	}
}

// rephrase tries n other forms of each prompt.
func (s *search) rephrase(ctx context.Context, n int, form func(prompt string, k int) (string, error)) error {
	for k := range n {
		texts := make([]token.Encoding, len(s.g.Prompts))
		for i, prompt := range s.g.Prompts {
			other, err := form(prompt, k)
			if err != nil {
				return err
			}
			if texts[i], err = s.e.Tokens(other); err != nil {
				return err
			}
		}
		if err := s.keep(ctx, texts); err != nil {
			return err
		}
	}
	return nil
}

// instead puts other words in the place of a name, together with an article in front of it where the words have their own.
func instead(prompt, name, words string) (string, error) {
	at := find(prompt, name)
	if at < 0 {
		return "", fmt.Errorf("attack: the prompt %q does not hold the name %q; give prompts that do", prompt, name)
	}
	before, after := prompt[:at], prompt[at+len(name):]
	first, _, _ := strings.Cut(words, " ")
	if slices.Contains([]string{"a", "an", "the", "what", "where"}, first) {
		for _, article := range []string{"a ", "an ", "the "} {
			if lower := strings.ToLower(before); lower == article || strings.HasSuffix(lower, " "+article) {
				before = before[:len(before)-len(article)]
				break
			}
		}
	}
	return before + words + after, nil
}

// find is the byte at which a name stands in a text as words of its own, whatever its case; -1: nowhere.
func find(text, name string) int {
	isLetter := func(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80 }
	for at := 0; at+len(name) <= len(text); at++ {
		end := at + len(name)
		if strings.EqualFold(text[at:end], name) && (at == 0 || !isLetter(text[at-1])) && (end == len(text) || !isLetter(text[end])) {
			return at
		}
	}
	return -1
}
