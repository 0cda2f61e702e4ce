package attack

import (
	"context"
	"fmt"
	"math"
	"unicode/utf8"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/internal/adam"
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
				learned, err := Learn(ctx, s.e, on, []Goal{s.g}, *c)
				if err != nil {
					return err
				}
				found := learned[0]
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

// Learn optimises one new token's embedding for each goal on a variant, so that fitting prompts with it in the name's place have the
// largest cosine with the goal's prototype. It begins at the mean of the words of the super-category. Goals are read together and do not
// touch each other.
func Learn(ctx context.Context, e *encoder.Encoder, v *encoder.Variant, goals []Goal, c LearnedConfig) ([]*Learned, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	words, err := wordsOf(e, v)
	if err != nil {
		return nil, err
	}
	var lessons []*lesson
	for _, g := range goals {
		l, err := newLesson(e, words, g, c)
		if err != nil {
			return nil, err
		}
		lessons = append(lessons, l)
	}
	for step := range c.Steps + 1 {
		var soft []*encoder.Soft
		var of []*lesson // of each text
		for _, l := range lessons {
			l.at = l.at[:0]
			for _, p := range l.prompts {
				text, at, err := l.now.place(words, p, l.goal.Target.Name)
				if err != nil {
					return nil, err
				}
				soft, of, l.at = append(soft, text), append(of, l), append(l.at, at)
			}
		}
		losses, grads, err := e.Gradient(ctx, v, soft, func(i int, s *encoder.State) (float64, *mat.Dense, error) {
			pooled, err := e.Pooled(s)
			if err != nil {
				return 0, nil, err
			}
			cosine, d := cosineGradient(pooled, of[i].goal.Zero.Prototypes.RawRowView(of[i].goal.Class))
			floats.Scale(-1, d)
			spread, err := e.Spread(s, d)
			return -cosine, spread, err
		})
		if err != nil {
			return nil, err
		}
		first := 0
		for _, l := range lessons {
			n := len(l.prompts)
			l.step(losses[first:first+n], grads[first:first+n], isPast(v), step == c.Steps)
			first += n
		}
	}
	out := make([]*Learned, len(lessons))
	for i, l := range lessons {
		out[i] = l.best
	}
	return out, nil
}

// lesson is one goal of Learn under way.
type lesson struct {
	goal      Goal
	prompts   []string
	at        []int // place of the new token in each
	now, best *Learned
	optimizer *adam.Solver
}

func newLesson(e, words *encoder.Encoder, g Goal, c LearnedConfig) (*lesson, error) {
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
	return &lesson{
		goal: g, prompts: g.Target.Fit[:min(c.Templates, len(g.Target.Fit))], optimizer: c.AdamConfig.solver(e.Width()),
		now: &Learned{Vector: mean(rows)}, best: &Learned{Vector: mean(rows), Cosine: math.Inf(-1)},
	}, nil
}

// step keeps the embedding where it is the best so far, or the newest past a gate, and moves on unless it is the last.
func (l *lesson) step(losses []float64, grads []*mat.Dense, newest, last bool) {
	n := float64(len(losses))
	l.best.Queries += len(losses)
	if cosine := -floats.Sum(losses) / n; cosine > l.best.Cosine || newest {
		l.best.Cosine = cosine
		copy(l.best.Vector, l.now.Vector)
	}
	if last {
		return
	}
	total := make([]float64, len(l.now.Vector))
	for i, d := range grads {
		floats.AddScaled(total, 1/n, d.RawRowView(l.at[i]))
	}
	l.optimizer.Step(l.now.Vector, total)
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
