package method

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/probe/train"
)

// AllButOneConfig are the settings of all-but-one. The paper's are not published beyond the form of its loss.
type AllButOneConfig struct {
	Reader ReaderConfig `json:"reader" doc:"in place of the denoiser"`
	Null   string       `json:"null" doc:"the text without a concept, from which guidance is counted"`
	Lambda float64      `json:"lambda" doc:"weight of the empty text's own drift"`
	Update []string     `json:"update" doc:"parameters that are trained, by glob"`
	Batch  int          `json:"batch" doc:"texts of a step, besides the empty one"`
	Train  train.Config `json:"train" doc:"of the optimiser"`
}

// DefaultAllButOne is a small budget for sentence encoders, its rate chosen on horse and etching.
func DefaultAllButOne() *AllButOneConfig {
	c := &AllButOneConfig{Reader: DefaultReader(), Lambda: 1, Update: textEncoder, Batch: 8, Train: train.DefaultConfig()}
	c.Train.Steps, c.Train.LR = 30, 5e-5
	return c
}

// Validate checks what does not depend on the encoder.
func (c *AllButOneConfig) Validate() error {
	switch {
	case !(c.Lambda >= 0) || math.IsInf(c.Lambda, 0):
		return fmt.Errorf("method: all-but-one: lambda is %v; use 0 or more", c.Lambda)
	case len(c.Update) == 0 || c.Batch < 1 || c.Train.Steps < 1:
		return fmt.Errorf("method: all-but-one: update %q, batch %d, steps %d: each is needed", c.Update, c.Batch, c.Train.Steps)
	}
	if err := c.Reader.Validate(); err != nil {
		return err
	}
	return c.Train.Validate()
}

func allButOne() Method {
	return Method{
		Name: "all-but-one", Title: "All but One, guidance updated towards an alternative", Acts: ActsWeights,
		Check:  "loss by the host (TestGuided, TestAllButOneLoss); the paper's equation is known from its description alone, and a reader stands for the denoiser",
		Config: func() any { return DefaultAllButOne() },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			return fitAllButOne(ctx, e, t, conf.(*AllButOneConfig))
		},
	}
}

// fitAllButOne trains what guidance makes of a concept's prompt into what it made of the anchor's, while the empty text stays:
//
//	|[R'(c) - R'("")] - [R(anchor) - R("")]|² + lambda |R'("") - R("")|²
//
// R' being the reading of the trained encoder.
func fitAllButOne(ctx context.Context, e *encoder.Encoder, t *Task, c *AllButOneConfig) (*encoder.Variant, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r, err := c.Reader.open(e, uint64(t.Seed))
	if err != nil {
		return nil, err
	}
	prompts, twins := Prompts(t.Erase), []string{c.Null}
	for _, concept := range t.Erase {
		twins = append(twins, concept.AnchorFit...)
	}
	was, err := readOriginal(ctx, e, r, append(twins, prompts...))
	if err != nil {
		return nil, err
	}
	names, err := train.Subset(e.Model.Spec, c.Update...)
	if err != nil {
		return nil, err
	}
	teacher, err := newTeacher(e, r, names, was.longest(), c.Batch+1, c.Train)
	if err != nil {
		return nil, err
	}
	teacher.guided = true
	null := was.states[c.Null].Encoding
	cards := newDeck(len(prompts), t.Seed)
	var losses []float64
	for step := range c.Train.Steps {
		queries := r.Queries(uint64(t.Seed)<<20 + uint64(step))
		still, err := was.read(c.Null, null, queries)
		if err != nil {
			return nil, err
		}
		lessons := []lesson{{text: null, target: still, weight: c.Lambda}}
		hand := cards.deal(c.Batch)
		for _, i := range hand {
			text := was.states[prompts[i]].Encoding
			target, err := was.read(twins[i+1], text, queries)
			if err != nil {
				return nil, err
			}
			zero, err := was.read(c.Null, text, queries)
			if err != nil {
				return nil, err
			}
			var guidance mat.Dense
			guidance.Sub(target, zero)
			place := aligned(text, null)
			if !tokenwise(r) {
				place = nil
				for k := range r.Rows(0) {
					place = append(place, k)
				}
			}
			lessons = append(lessons, lesson{text: text, target: &guidance, weight: 1 / float64(len(hand)), place: place})
		}
		loss, err := teacher.learn(ctx, lessons, queries)
		if err != nil {
			return nil, fmt.Errorf("method: all-but-one: %w", err)
		}
		losses = append(losses, loss)
	}
	return teacher.variant("all-but-one", map[string]any{"first_loss": losses[0], "last_loss": losses[len(losses)-1], "steps": len(losses)}), nil
}
