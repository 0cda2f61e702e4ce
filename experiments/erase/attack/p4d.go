package attack

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/probe/token"
)

// P4DConfig are the settings of p4d. Published: 5 tokens, 40 steps for each of the sampled timesteps, lr 0.01, weight decay 0.1.
type P4DConfig struct {
	AdamConfig
	Tokens     int              `json:"tokens" doc:"tokens put behind the start token (k)"`
	Vocabulary VocabularyConfig `json:"vocabulary" doc:"which tokens"`
}

// Validate refuses settings that search nothing.
func (c P4DConfig) Validate() error {
	if err := c.AdamConfig.Validate(); err != nil {
		return err
	}
	return checkAtLeast("tokens", c.Tokens)
}

// p4d searches tokens with which the attacked encoder gives what the original one gives for the prompt, |E0(p) - E'(p* p)|²: the
// gradient is taken at the words nearest to continuous embeddings, and moves the continuous ones.
func p4d() Attack {
	return Attack{
		Name: "p4d", Title: "Prompting4Debugging", Paper: "arXiv:2309.06135", WhiteBox: true,
		Check:  "against random tokens (TestOnMiniLM), hand projection (TestHand); the pooled embedding stands for the denoiser",
		Config: func() any { return &P4DConfig{AdamConfig: AdamConfig{Steps: 16, LR: 0.5, Decay: 0.1}, Tokens: 3} },
		Run: run(func(ctx context.Context, s *search, conf any) error {
			c := conf.(*P4DConfig)
			s.queries += len(s.prompts)
			states, err := s.e.EncodingStates(ctx, nil, s.prompts)
			if err != nil {
				return err
			}
			targets, err := s.e.Rows(states)
			if err != nil {
				return err
			}
			surfaces, err := s.surfaces(ctx)
			if err != nil {
				return err
			}
			for _, on := range surfaces {
				words, err := s.table(on, c.Vocabulary)
				if err != nil {
					return err
				}
				found, err := s.nearestWords(ctx, on, c, words, func(i int, state *encoder.State) (float64, *mat.Dense, error) {
					return s.distance(state, targets.RawRowView(i))
				})
				if err != nil {
					return err
				}
				if err := s.keep(ctx, found); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// distance is |pooled - target|² / |target|² and its gradient with respect to the states.
func (s *search) distance(state *encoder.State, target []float64) (float64, *mat.Dense, error) {
	x, err := s.e.Pooled(state)
	if err != nil {
		return 0, nil, err
	}
	gap := make([]float64, len(x))
	floats.SubTo(gap, x, target)
	norm := floats.Dot(target, target)
	loss := floats.Dot(gap, gap) / norm
	floats.Scale(2/norm, gap)
	g, err := s.e.Spread(state, gap)
	return loss, g, err
}

type lossFunc func(i int, s *encoder.State) (float64, *mat.Dense, error)

// nearestWords runs the projected descent for all prompts together and returns, for each, the words of least loss on its way, where the
// surface's loss is that of the variant; past a gate the last ones.
func (s *search) nearestWords(ctx context.Context, on *encoder.Variant, c *P4DConfig, words *table, loss lossFunc) ([]token.Encoding, error) {
	n, d := len(s.prompts), s.e.Width()
	x := mat.NewDense(n*c.Tokens, d, nil) // continuous embeddings
	for r := range n * c.Tokens {
		x.SetRow(r, words.rows.RawRowView(s.rng.IntN(len(words.ids))))
	}
	optimizer := c.AdamConfig.solver(n * c.Tokens * d)
	best, least := make([]token.Encoding, n), make([]float64, n)
	for i := range least {
		least[i] = math.Inf(1)
	}
	for range c.Steps {
		near := words.nearest(x)
		soft, texts := make([]*encoder.Soft, n), make([]token.Encoding, n)
		for i, prompt := range s.prompts {
			ids := make([]int32, c.Tokens)
			for t := range ids {
				ids[t] = words.ids[near[i*c.Tokens+t]]
			}
			texts[i] = encoder.Insert(prompt, 1, ids)
			var err error
			if soft[i], err = s.words(on).Soften(texts[i]); err != nil {
				return nil, err
			}
		}
		losses, inserted, err := s.gradient(ctx, on, soft, c.Tokens, loss)
		if err != nil {
			return nil, err
		}
		for i, l := range losses {
			if l < least[i] || isPast(on) {
				best[i], least[i] = texts[i], l
			}
		}
		optimizer.Step(x.RawMatrix().Data, inserted.RawMatrix().Data)
	}
	return best, nil
}

// gradient is Encoder.Gradient of the k rows behind each text's start token, [n*k, d].
func (s *search) gradient(ctx context.Context, on *encoder.Variant, soft []*encoder.Soft, k int, loss lossFunc) ([]float64, *mat.Dense, error) {
	s.queries += len(soft)
	losses, grads, err := s.e.Gradient(ctx, on, soft, loss)
	if err != nil {
		return nil, nil, err
	}
	out := mat.NewDense(len(soft)*k, s.e.Width(), nil)
	for i, g := range grads {
		for t := range k {
			out.SetRow(i*k+t, g.RawRowView(1+t))
		}
	}
	return losses, out, nil
}

// isPast tells surfaces on which the hook is held not to act: their losses are not the variant's.
func isPast(v *encoder.Variant) bool {
	if v == nil {
		return false
	}
	_, ok := v.Hook.(pastGate)
	return ok
}
