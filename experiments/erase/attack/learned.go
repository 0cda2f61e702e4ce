package attack

import (
	"context"
	"fmt"
	"math"
	"unicode/utf8"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/probe/token"
)

// LearnedConfig are the settings of a learned embedding. Published for textual inversion: hundreds to thousands of steps.
type LearnedConfig struct {
	AdamConfig
	Templates int `json:"templates" doc:"fitting prompts in which the new token stands for the concept; the first is a photo of it"`
}

// DefaultLearned is a small budget.
func DefaultLearned() LearnedConfig {
	return LearnedConfig{AdamConfig: AdamConfig{Steps: 20, LR: 0.02}, Templates: 4}
}

// Validate refuses settings that learn nothing.
func (c LearnedConfig) Validate() error {
	if err := c.AdamConfig.Validate(); err != nil {
		return err
	}
	return checkAtLeast("templates", c.Templates)
}

// learnedEmbedding is M-ErasureBench's textual inversion: adaptive it is the white-box one, static the black-box one.
func learnedEmbedding() Attack {
	return Attack{
		Name: "learned-embedding", Title: "Learned embedding (textual inversion)", Paper: "M-ErasureBench", WhiteBox: true, Check: "planted word (TestOnMiniLM)",
		Config: func() any { c := DefaultLearned(); return &c },
		Run: run(func(ctx context.Context, s *search, conf any) error {
			c := conf.(*LearnedConfig)
			surfaces, err := s.surfaces(ctx)
			if err != nil {
				return err
			}
			for _, on := range surfaces {
				found, err := Learn(ctx, s.e, on, s.g, *c)
				if err != nil {
					return err
				}
				s.queries += found.Queries
				texts, words := make([]*encoder.Soft, len(s.prompts)), make([]string, len(s.prompts))
				for i, prompt := range s.g.Prompts {
					if texts[i], err = found.Place(s.edited, prompt, s.g.Target.Name); err != nil {
						return err
					}
					words[i], _ = instead(prompt, s.g.Target.Name, "*")
				}
				if err := s.keepSoft(ctx, texts, words); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// Learned is the word embedding of one new token.
type Learned struct {
	Vector  []float64 // [d]
	Cosine  float64   // mean cosine of the fitting prompts with the concept's prototype, on the encoder that it was learned on
	Queries int
}

// Learn optimises one new token's embedding on a variant, so that fitting prompts with it in the concept's place have the largest cosine
// with the concept's prototype. It begins at the mean of the words of the super-category.
func Learn(ctx context.Context, e *encoder.Encoder, v *encoder.Variant, g Goal, c LearnedConfig) (*Learned, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	words, err := wordsOf(e, v)
	if err != nil {
		return nil, err
	}
	start, err := e.Tokens(g.Target.Super)
	if err != nil {
		return nil, err
	}
	var ids []int32
	for i, id := range start.IDs {
		if !start.Special[i] {
			ids = append(ids, id)
		}
	}
	rows, err := words.WordEmbeddings(ids)
	if err != nil {
		return nil, err
	}
	prototype := g.Zero.Prototypes.RawRowView(g.Class)
	out := &Learned{Vector: mean(rows), Cosine: math.Inf(-1)}
	prompts := g.Target.Fit[:min(c.Templates, len(g.Target.Fit))]
	x, optimizer := &Learned{Vector: mean(rows)}, newAdam(c.AdamConfig, e.Width())
	for step := range c.Steps + 1 {
		soft, at := make([]*encoder.Soft, len(prompts)), make([]int, len(prompts))
		for i, p := range prompts {
			if soft[i], at[i], err = x.place(words, p, g.Target.Name); err != nil {
				return nil, err
			}
		}
		out.Queries += len(soft)
		losses, grads, err := e.Gradient(ctx, v, soft, func(_ int, s *encoder.State) (float64, *mat.Dense, error) {
			pooled, err := e.Pooled(s)
			if err != nil {
				return 0, nil, err
			}
			cosine, d := cosineGradient(pooled, prototype)
			floats.Scale(-1, d)
			spread, err := e.Spread(s, d)
			return -cosine, spread, err
		})
		if err != nil {
			return nil, err
		}
		n := float64(len(prompts))
		if cosine := -floats.Sum(losses) / n; cosine > out.Cosine || isPast(v) {
			out.Cosine = cosine
			copy(out.Vector, x.Vector)
		}
		if step == c.Steps {
			break
		}
		total := make([]float64, e.Width())
		for i, d := range grads {
			floats.AddScaled(total, 1/n, d.RawRowView(at[i]))
		}
		optimizer.step(x.Vector, total)
	}
	return out, nil
}

// cosineGradient is cos(x, unit) for a unit vector and its gradient with respect to x; both are 0 where x is 0.
func cosineGradient(x, unit []float64) (float64, []float64) {
	g := make([]float64, len(x))
	norm := floats.Norm(x, 2)
	if norm == 0 {
		return 0, g
	}
	cosine := floats.Dot(x, unit) / norm
	floats.AddScaled(g, 1/norm, unit)
	floats.AddScaled(g, -cosine/(norm*norm), x)
	return cosine, g
}

// Place puts the new token where a prompt has the name; e gives the other words their embeddings.
func (l *Learned) Place(e *encoder.Encoder, prompt, name string) (*encoder.Soft, error) {
	out, _, err := l.place(e, prompt, name)
	return out, err
}

// place is Place with the new token's position.
func (l *Learned) place(e *encoder.Encoder, prompt, name string) (*encoder.Soft, int, error) {
	text, at, err := slot(e, prompt, name)
	if err != nil {
		return nil, 0, err
	}
	out, err := e.Soften(text)
	if err != nil {
		return nil, 0, err
	}
	out.Embeds.SetRow(at, l.Vector)
	return out, at, nil
}

// slot is a prompt whose name is one token, the name's first, and where that stands.
func slot(e *encoder.Encoder, prompt, name string) (token.Encoding, int, error) {
	text, err := e.Tokens(prompt)
	if err != nil {
		return text, 0, err
	}
	begin := find(prompt, name)
	if begin < 0 {
		return text, 0, fmt.Errorf("attack: the prompt %q does not hold the name %q; give prompts that do", prompt, name)
	}
	low := utf8.RuneCountInString(prompt[:begin])
	high := low + utf8.RuneCountInString(name)
	at := -1
	var out token.Encoding
	for i, span := range text.Offsets {
		inside := !text.Special[i] && span[1] > low && span[0] < high
		if inside && at >= 0 {
			continue
		}
		if inside {
			at = len(out.IDs)
		}
		out.IDs, out.Tokens, out.Offsets = append(out.IDs, text.IDs[i]), append(out.Tokens, text.Tokens[i]), append(out.Offsets, span)
		out.Special, out.TypeIDs = append(out.Special, text.Special[i]), append(out.TypeIDs, text.TypeIDs[i])
	}
	if at < 0 {
		return text, 0, fmt.Errorf("attack: no token of the prompt %q holds the name %q", prompt, name)
	}
	return out, at, nil
}

// Recognition are M-ErasureBench's rates of one concept on one variant: prompts, and a learned embedding in the name's place.
type Recognition struct {
	Text    erase.Share `json:"text"`
	White   erase.Share `json:"learned_white"`  // learned on the variant
	Black   erase.Share `json:"learned_black"`  // learned on the original encoder
	Control erase.Share `json:"control"`        // a kept concept's embedding, learned on the variant, recognised as the erased concept
	Learnt  erase.Share `json:"control_learnt"` // and as its own
}

// Recognise measures them. other is a concept that is kept, with its class; learned embeddings are tried in the held-out prompts of goal.
func Recognise(ctx context.Context, e *encoder.Encoder, v *encoder.Variant, goal, other Goal, c LearnedConfig) (*Recognition, error) {
	s, err := newSearch(ctx, e, v, goal)
	if err != nil {
		return nil, err
	}
	var out Recognition
	out.Text = count(s.result.Before)
	for _, one := range []struct {
		share *erase.Share
		mode  string
	}{{&out.White, ModeAdaptive}, {&out.Black, ModeStatic}} {
		g := goal
		g.Mode = one.mode
		r, err := learnedEmbedding().Run(ctx, e, v, g, &c)
		if err != nil {
			return nil, err
		}
		*one.share = count(r.After)
	}
	l, err := Learn(ctx, e, v, other, c)
	if err != nil {
		return nil, err
	}
	texts := make([]*encoder.Soft, len(other.Prompts))
	for i, p := range other.Prompts {
		if texts[i], err = l.Place(s.edited, p, other.Target.Name); err != nil {
			return nil, err
		}
	}
	states, err := e.SoftStates(ctx, v, texts)
	if err != nil {
		return nil, err
	}
	x, err := e.Rows(states)
	if err != nil {
		return nil, err
	}
	class, err := goal.Zero.Predict(x)
	if err != nil {
		return nil, err
	}
	as, own := make([]bool, len(class)), make([]bool, len(class))
	for i, k := range class {
		as[i], own[i] = k == goal.Class, k == other.Class
	}
	out.Control, out.Learnt = count(as), count(own)
	return &out, nil
}

func count(hits []bool) erase.Share {
	s := erase.Share{N: len(hits)}
	for _, h := range hits {
		if h {
			s.Hits++
		}
	}
	return s
}
