package attack

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/probe/token"
)

// UnlearnDiffConfig are the settings of unlearndiff. Published: 5 tokens, 40 steps for each timestep, lr 0.01, weight decay 0.1.
type UnlearnDiffConfig struct {
	AdamConfig
	Tokens     int              `json:"tokens" doc:"tokens put behind the start token (k)"`
	Vocabulary VocabularyConfig `json:"vocabulary" doc:"which tokens"`
}

// Validate refuses settings that search nothing.
func (c UnlearnDiffConfig) Validate() error {
	if err := c.AdamConfig.Validate(); err != nil {
		return err
	}
	return checkAtLeast("tokens", c.Tokens)
}

// unlearnDiff searches tokens by distributions over the vocabulary, one for each place: a step reads a sample, its gradient is passed
// straight through to the distribution, which is projected to the simplex. The loss is -log softmax of the prototypes' cosines, in place
// of the diffusion classifier's.
func unlearnDiff() Attack {
	return Attack{
		Name: "unlearndiff", Title: "UnlearnDiffAtk", Paper: "arXiv:2310.11868", WhiteBox: true,
		Check: "golden projection to the simplex (TestGoldenErasure), planted synonym (TestOnMiniLM), sampling (TestSample)",
		Config: func() any {
			return &UnlearnDiffConfig{AdamConfig: AdamConfig{Steps: 20, LR: 1, Decay: 0.01}, Tokens: 3}
		},
		Run: run(func(ctx context.Context, s *search, conf any) error {
			c := conf.(*UnlearnDiffConfig)
			surfaces, err := s.surfaces(ctx)
			if err != nil {
				return err
			}
			for _, on := range surfaces {
				words, err := s.table(on, c.Vocabulary)
				if err != nil {
					return err
				}
				sampled, last, err := s.distributions(ctx, on, c, words)
				if err != nil {
					return err
				}
				for _, found := range [][]token.Encoding{last, sampled} {
					if err := s.keep(ctx, found); err != nil {
						return err
					}
				}
			}
			return nil
		}),
	}
}

// distributions returns for each prompt the sample of least loss on the way (past a gate the last one), and the most likely tokens at
// the end.
func (s *search) distributions(ctx context.Context, on *encoder.Variant, c *UnlearnDiffConfig, words *table) (sampled, last []token.Encoding, err error) {
	n, size := len(s.prompts), len(words.ids)
	u := mat.NewDense(n*c.Tokens, size, nil)
	u.Apply(func(_, _ int, _ float64) float64 { return 1 / float64(size) }, u)
	optimizer := c.AdamConfig.solver(n * c.Tokens * size)
	sampled, last = make([]token.Encoding, n), make([]token.Encoding, n)
	least := make([]float64, n)
	for i := range least {
		least[i] = math.Inf(1)
	}
	for range c.Steps {
		soft := make([]*encoder.Soft, n)
		for i, prompt := range s.prompts {
			ids := make([]int32, c.Tokens)
			for t := range ids {
				ids[t] = words.ids[sample(s.rng, u.RawRowView(i*c.Tokens+t))]
			}
			if soft[i], err = s.words(on).Soften(encoder.Insert(prompt, 1, ids)); err != nil {
				return nil, nil, err
			}
		}
		losses, inserted, err := s.gradient(ctx, on, soft, c.Tokens, s.towards)
		if err != nil {
			return nil, nil, err
		}
		for i, l := range losses {
			if l < least[i] || isPast(on) {
				sampled[i], least[i] = soft[i].Encoding, l
			}
		}
		straight := products(inserted, words.rows) // [n*k, V]
		straight.Apply(func(_, _ int, v float64) float64 { return max(-1, min(1, v)) }, straight)
		optimizer.Step(u.RawMatrix().Data, straight.RawMatrix().Data)
		for r := range n * c.Tokens {
			p, err := erase.ProjectSimplex(u.RawRowView(r))
			if err != nil {
				return nil, nil, err
			}
			u.SetRow(r, p)
		}
	}
	for i, prompt := range s.prompts {
		ids := make([]int32, c.Tokens)
		for t := range ids {
			ids[t] = words.ids[floats.MaxIdx(u.RawRowView(i*c.Tokens+t))]
		}
		last[i] = encoder.Insert(prompt, 1, ids)
	}
	return sampled, last, nil
}

// sample draws a place by its probability; rounding at the end falls to the last place that has any.
func sample(r *rand.Rand, p []float64) int {
	left, last := r.Float64(), 0
	for i, v := range p {
		if v <= 0 {
			continue
		}
		last = i
		if left -= v; left < 0 {
			return i
		}
	}
	return last
}
