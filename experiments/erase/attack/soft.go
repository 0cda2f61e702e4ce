package attack

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
)

// SoftConfig are the settings of soft-prompt. Published: 1 embedding, 30 steps, lr 0.001.
type SoftConfig struct {
	AdamConfig
	Tokens int  `json:"tokens" doc:"embeddings put behind the start token (k)"`
	Sign   bool `json:"sign" doc:"steps by the gradient's sign (fast_at) in place of Adam"`
}

// Validate refuses settings that search nothing.
func (c SoftConfig) Validate() error {
	if err := c.AdamConfig.Validate(); err != nil {
		return err
	}
	return checkAtLeast("tokens", c.Tokens)
}

// softPrompt puts free word embeddings in front of each prompt, and descends the prototype loss; they need not be words.
func softPrompt() Attack {
	return Attack{
		Name: "soft-prompt", Title: "Soft prompt (AdvUnlearn's inner attack)", Paper: "arXiv:2405.15234", WhiteBox: true, Check: "planted synonym (TestOnMiniLM)",
		Config: func() any { return &SoftConfig{AdamConfig: AdamConfig{Steps: 16, LR: 0.03}, Tokens: 1} },
		Run: run(func(ctx context.Context, s *search, conf any) error {
			c := conf.(*SoftConfig)
			ids, err := s.vocabulary(VocabularyConfig{})
			if err != nil {
				return err
			}
			surfaces, err := s.surfaces(ctx)
			if err != nil {
				return err
			}
			for _, on := range surfaces {
				soft := make([]*encoder.Soft, len(s.prompts))
				for i, prompt := range s.prompts {
					if soft[i], err = s.words(on).Soften(encoder.Insert(prompt, 1, s.draw(ids, c.Tokens))); err != nil {
						return err
					}
				}
				found, err := s.descend(ctx, on, soft, c)
				if err != nil {
					return err
				}
				word := make([]string, len(found))
				for i := range word {
					under, err := s.edited.Soften(found[i].Encoding)
					if err != nil {
						return err
					}
					for t := range c.Tokens {
						under.Embeds.SetRow(1+t, found[i].Embeds.RawRowView(1+t))
					}
					found[i] = under
					word[i] = fmt.Sprintf("%d free embeddings + %s", c.Tokens, s.g.Prompts[i])
				}
				if err := s.keepSoft(ctx, found, word); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// descend moves the k embeddings behind each text's start token, which are overwritten, and returns for each text the best on the way,
// past a gate the last.
func (s *search) descend(ctx context.Context, on *encoder.Variant, soft []*encoder.Soft, c *SoftConfig) ([]*encoder.Soft, error) {
	n, d := len(soft), s.e.Width()
	x := mat.NewDense(n*c.Tokens, d, nil)
	for i, one := range soft {
		for t := range c.Tokens {
			x.SetRow(i*c.Tokens+t, one.Embeds.RawRowView(1+t))
		}
	}
	optimizer := c.AdamConfig.solver(n * c.Tokens * d)
	best, least := make([]*encoder.Soft, n), make([]float64, n)
	for i := range least {
		least[i] = math.Inf(1)
	}
	for range c.Steps {
		losses, g, err := s.gradient(ctx, on, soft, c.Tokens, s.towards)
		if err != nil {
			return nil, err
		}
		for i, l := range losses {
			if l < least[i] {
				best[i], least[i] = &encoder.Soft{Encoding: soft[i].Encoding, Embeds: mat.DenseCopyOf(soft[i].Embeds)}, l
			}
		}
		if c.Sign {
			for i, v := range g.RawMatrix().Data {
				if v != 0 {
					x.RawMatrix().Data[i] -= math.Copysign(c.LR, v)
				}
			}
		} else {
			optimizer.Step(x.RawMatrix().Data, g.RawMatrix().Data)
		}
		for i, one := range soft {
			for t := range c.Tokens {
				copy(one.Embeds.RawRowView(1+t), x.RawRowView(i*c.Tokens+t))
			}
		}
	}
	if isPast(on) {
		return soft, nil
	}
	_, losses, err := s.judgeSoft(ctx, on, soft) // the last step's
	if err != nil {
		return nil, err
	}
	for i, l := range losses {
		if best[i] == nil || l < least[i] {
			best[i] = soft[i]
		}
	}
	return best, nil
}

// mean is the mean of rows [n, d].
func mean(x *mat.Dense) []float64 {
	n, d := x.Dims()
	out := make([]float64, d)
	for i := range n {
		floats.AddScaled(out, 1/float64(n), x.RawRowView(i))
	}
	return out
}
