package method

import (
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/experiments/erase/encoder"
	"loupe/probe/train"
)

// AdvUnlearnConfig are the settings of advunlearn. Published: 1000 outer steps at 1e-5, 200 of them a warm-up without attack, 1 token of
// 30 steps of Adam at 1e-3, 5 retained prompts a step at weight 0.3 (nudity).
type AdvUnlearnConfig struct {
	Reader      ReaderConfig `json:"reader" doc:"in place of the denoiser"`
	Null        string       `json:"null" doc:"the text without a concept"`
	Eta         float64      `json:"eta" doc:"how far beyond the empty text a concept's reading is driven"`
	Update      []string     `json:"update" doc:"parameters that are trained, by glob; blocks.* are all but the embeddings (text_encoder_full)"`
	Warmup      int          `json:"warmup" doc:"first steps without an attack"`
	Attack      SoftConfig   `json:"attack" doc:"the attack inside"`
	Retain      float64      `json:"retain" doc:"weight of the prompts that are kept"`
	RetainBatch int          `json:"retain_batch" doc:"kept prompts of a step"`
	Batch       int          `json:"batch" doc:"the concepts' prompts of a step"`
	Train       train.Config `json:"train" doc:"of the optimiser of the weights"`
}

// DefaultAdvUnlearn is a small budget for sentence encoders, its rate chosen on horse and etching.
func DefaultAdvUnlearn() *AdvUnlearnConfig {
	c := &AdvUnlearnConfig{
		Reader: DefaultReader(), Eta: 1, Update: textEncoder, Warmup: 10, Retain: 30, RetainBatch: 8, Batch: 4, Train: train.DefaultConfig(),
		Attack: SoftConfig{Tokens: 1, Steps: 5, LR: 1e-2, Step: StepAdam, Init: InitLatest},
	}
	c.Train.Steps, c.Train.LR = 50, 2e-4
	return c
}

// Validate checks what does not depend on the encoder.
func (c *AdvUnlearnConfig) Validate() error {
	switch {
	case !(c.Eta >= 0) || math.IsInf(c.Eta, 0):
		return fmt.Errorf("method: advunlearn: eta is %v; use 0 (towards the empty text) or more", c.Eta)
	case len(c.Update) == 0 || c.Batch < 1 || c.Train.Steps < 1 || c.Warmup < 0:
		return fmt.Errorf("method: advunlearn: update %q, batch %d, steps %d, warmup %d: the first three are needed", c.Update, c.Batch, c.Train.Steps, c.Warmup)
	case !(c.Retain >= 0) || math.IsInf(c.Retain, 0) || c.RetainBatch < 0:
		return fmt.Errorf("method: advunlearn: %d retained prompts of weight %v; use 0 or more", c.RetainBatch, c.Retain)
	}
	if err := c.Reader.Validate(); err != nil {
		return err
	}
	if err := c.Attack.Validate(); err != nil {
		return err
	}
	return c.Train.Validate()
}

func advUnlearn() Method {
	return Method{
		Name: "advunlearn", Title: "AdvUnlearn", Paper: "arXiv:2405.15234", Acts: ActsWeights,
		Check:  "gradient of the attack by differences (TestSoftGradient), the target golden (TestGoldenErasure); a reader stands for the denoiser",
		Config: func() any { return DefaultAdvUnlearn() },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			return fitAdvUnlearn(ctx, e, t, conf.(*AdvUnlearnConfig))
		},
	}
}

// fitAdvUnlearn is ESD against its own attacker. In each step soft tokens delta in front of the concept's prompts are first searched that
// bring its reading back,
//
//	min_delta |R'(delta + c) - R(c)|²,
//
// and then the weights trained to drive the readings with them away, beside the readings of prompts that are kept:
//
//	|R'(delta + c) - [R("") - eta (R(c) - R(""))]|² + retain |R'(kept) - R(kept)|²
func fitAdvUnlearn(ctx context.Context, e *encoder.Encoder, t *Task, c *AdvUnlearnConfig) (*encoder.Variant, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r, err := c.Reader.open(e, uint64(t.Seed))
	if err != nil {
		return nil, err
	}
	names, err := train.Subset(e.Model.Spec, c.Update...)
	if err != nil {
		return nil, err
	}
	if slices.Contains(names, "W_E") {
		return nil, fmt.Errorf("method: advunlearn: update %q holds W_E, in front of which the attack acts; train blocks", c.Update)
	}
	prompts, kept := Prompts(t.Erase), t.Preserved()
	was, err := readOriginal(ctx, e, r, slices.Concat([]string{c.Null}, prompts, kept))
	if err != nil {
		return nil, err
	}
	teacher, err := newTeacher(e, r, names, was.longest()+c.Attack.Tokens, c.Batch+c.RetainBatch, c.Train)
	if err != nil {
		return nil, err
	}
	a := &adversary{was: was, teacher: teacher, cfg: c.Attack, latest: map[string]delta{}, seed: uint64(t.Seed)}
	concepts, others := newDeck(len(prompts), t.Seed), newDeck(len(kept), t.Seed+1)
	var losses []float64
	var before, after float64 // of the last attack
	for step := range c.Train.Steps {
		queries := r.Queries(uint64(t.Seed)<<20 + uint64(step))
		var chosen []string
		for _, i := range concepts.deal(c.Batch) {
			chosen = append(chosen, prompts[i])
		}
		var lessons []lesson
		if step < c.Warmup {
			lessons, err = a.plain(chosen, queries)
		} else {
			lessons, before, after, err = a.attack(ctx, chosen, queries)
		}
		if err != nil {
			return nil, fmt.Errorf("method: advunlearn: %w", err)
		}
		for i := range lessons {
			l := &lessons[i]
			if l.target, err = was.away(chosen[i], c.Null, l.text, c.Eta, queries); err != nil {
				return nil, err
			}
			l.weight = 1 / float64(len(chosen))
		}
		chosen = nil
		for _, i := range others.deal(c.RetainBatch) {
			chosen = append(chosen, kept[i])
		}
		still, err := a.plain(chosen, queries)
		if err != nil {
			return nil, err
		}
		for i := range still {
			still[i].weight = c.Retain / float64(len(still))
		}
		loss, err := teacher.learn(ctx, append(lessons, still...), queries)
		if err != nil {
			return nil, fmt.Errorf("method: advunlearn: %w", err)
		}
		losses = append(losses, loss)
	}
	return teacher.variant("advunlearn", map[string]any{
		"first_loss": losses[0], "last_loss": losses[len(losses)-1], "steps": len(losses), "attack_before": before, "attack_after": after,
	}), nil
}
