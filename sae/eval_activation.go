package sae

import "fmt"

// PromptFirings counts, for each latent, the tokens and the prompts on which it was active, over rows that come in the
// order of their prompts.
type PromptFirings struct {
	tokens, prompts []int64
	last            []int64 // prompt on which the latent was last active, plus one
	prompt          int64   // of the row before, plus one
}

// NewPromptFirings returns empty counts for f latents.
func NewPromptFirings(f int) *PromptFirings {
	return &PromptFirings{tokens: make([]int64, f), prompts: make([]int64, f), last: make([]int64, f)}
}

// Add takes in latents and the number (0 or more) of each row's prompt, which must not fall.
func (p *PromptFirings) Add(lat Latents, prompt []int64) error {
	if lat.Rows() != len(prompt) {
		return fmt.Errorf("sae: prompt firings: %d prompts for %d rows of latents", len(prompt), lat.Rows())
	}
	for r, at := range prompt {
		if at < 0 || at+1 < p.prompt {
			return fmt.Errorf("sae: prompt firings: row %d is of prompt %d after prompt %d; give the rows in the order of their prompts", r, at, p.prompt-1)
		}
		p.prompt = at + 1
		index, value := lat.Row(r)
		for j, i := range index {
			if value[j] == 0 {
				continue
			}
			if i < 0 || int(i) >= len(p.tokens) {
				return fmt.Errorf("sae: prompt firings: row %d has latent %d of %d", r, i, len(p.tokens))
			}
			p.tokens[i]++
			if p.last[i] != p.prompt {
				p.last[i] = p.prompt
				p.prompts[i]++
			}
		}
	}
	return nil
}

// Consistent returns SAEBench's consistent activation heuristic, [F]: the mean number of tokens on which a latent is active
// in the prompts where it is active at all; 0 for a latent that never was.
func (p *PromptFirings) Consistent() []float64 {
	out := make([]float64, len(p.tokens))
	for i, n := range p.prompts {
		if n > 0 {
			out[i] = float64(p.tokens[i]) / float64(n)
		}
	}
	return out
}
