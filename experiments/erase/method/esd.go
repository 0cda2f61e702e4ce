package method

import (
	"context"
	"fmt"
	"math"

	"loupe/experiments/erase/encoder"
	"loupe/probe/train"
)

// textEncoder are the parameters of all blocks, as published trainings of a text encoder take them: not the embeddings.
var textEncoder = []string{"blocks.*"}

// ESDConfig are the settings of esd. Published for the denoiser: lr 1e-5 (5e-5 in the code's later version), 1000 steps (200), eta 1 (2).
type ESDConfig struct {
	Reader ReaderConfig `json:"reader" doc:"in place of the denoiser"`
	Null   string       `json:"null" doc:"the text without a concept"`
	Eta    float64      `json:"eta" doc:"how far beyond the empty text a concept's reading is driven, in its difference from it"`
	Update []string     `json:"update" doc:"parameters that are trained, by glob"`
	Batch  int          `json:"batch" doc:"texts of a step"`
	Train  train.Config `json:"train" doc:"of the optimiser"`
}

// DefaultESD is a small budget for sentence encoders, its rate chosen on horse and etching.
func DefaultESD() *ESDConfig {
	c := &ESDConfig{Reader: DefaultReader(), Eta: 1, Update: textEncoder, Batch: 8, Train: train.DefaultConfig()}
	c.Train.Steps, c.Train.LR = 30, 1e-5
	return c
}

// Validate checks what does not depend on the encoder.
func (c *ESDConfig) Validate() error {
	switch {
	case !(c.Eta >= 0) || math.IsInf(c.Eta, 0):
		return fmt.Errorf("method: esd: eta is %v; use 0 (towards the empty text) or more", c.Eta)
	case len(c.Update) == 0 || c.Batch < 1 || c.Train.Steps < 1:
		return fmt.Errorf("method: esd: update %q, batch %d, steps %d: each is needed", c.Update, c.Batch, c.Train.Steps)
	}
	if err := c.Reader.Validate(); err != nil {
		return err
	}
	return c.Train.Validate()
}

func esd() Method {
	return Method{
		Name: "esd", Title: "Erased Stable Diffusion on the text encoder", Paper: "arXiv:2303.07345", Acts: ActsWeights,
		Check:  "target and reader golden (TestGoldenErasure, TestGoldenReader), loss by the host (TestESDLoss); a reader stands for the denoiser",
		Config: func() any { return DefaultESD() },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			return fitESD(ctx, e, t, conf.(*ESDConfig))
		},
	}
}

// fitESD trains the readings of the concepts' prompts away from the concept, as seen from the empty text.
func fitESD(ctx context.Context, e *encoder.Encoder, t *Task, c *ESDConfig) (*encoder.Variant, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r, err := c.Reader.open(e, uint64(t.Seed))
	if err != nil {
		return nil, err
	}
	prompts := Prompts(t.Erase)
	was, err := readOriginal(ctx, e, r, append([]string{c.Null}, prompts...))
	if err != nil {
		return nil, err
	}
	names, err := train.Subset(e.Model.Spec, c.Update...)
	if err != nil {
		return nil, err
	}
	teacher, err := newTeacher(e, r, names, was.longest(), c.Batch, c.Train)
	if err != nil {
		return nil, err
	}
	cards := newDeck(len(prompts), t.Seed)
	var losses []float64
	for step := range c.Train.Steps {
		queries := r.Queries(uint64(t.Seed)<<20 + uint64(step))
		var lessons []lesson
		hand := cards.deal(c.Batch)
		for _, i := range hand {
			text := was.states[prompts[i]].Encoding
			target, err := was.away(prompts[i], c.Null, text, c.Eta, queries)
			if err != nil {
				return nil, err
			}
			lessons = append(lessons, lesson{text: text, target: target, weight: 1 / float64(len(hand))})
		}
		loss, err := teacher.learn(ctx, lessons, queries)
		if err != nil {
			return nil, fmt.Errorf("method: esd: %w", err)
		}
		losses = append(losses, loss)
	}
	return teacher.variant("esd", map[string]any{"first_loss": losses[0], "last_loss": losses[len(losses)-1], "steps": len(losses)}), nil
}
