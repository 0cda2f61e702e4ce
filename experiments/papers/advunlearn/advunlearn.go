// Package advunlearn attacks an encoder that was trained against its own attacker, and one that was not, with soft prompts
// (arXiv:2405.15234).
package advunlearn

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/gonum/floats"

	"loupe/experiments/erase"
	"loupe/experiments/erase/attack"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// Config says what is erased and attacked.
type Config struct {
	compare.Config
	Tokens  []int             `json:"tokens" doc:"soft tokens of the attacks"`
	Descent attack.AdamConfig `json:"descent" doc:"of the attacks"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "advunlearn", Doc: "AdvUnlearn: adversarial training of an erased encoder, beside ESD under soft prompts (arXiv:2405.15234)", New: newConfig},
		Title: "AdvUnlearn: erasure trained against soft prompts",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig(), Tokens: []int{1, 5}, Descent: attack.AdamConfig{Steps: 30, LR: 0.01}}
	c.Name = "advunlearn"
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Tokens) == 0 {
		return errors.New("tokens is empty; name the numbers of soft tokens")
	}
	if err := c.Descent.Validate(); err != nil {
		return err
	}
	return c.Config.Validate()
}

// outcome is what attacks and kept prompts say of one method.
type outcome struct {
	hits, n map[int]int // by number of tokens
	cosine  []float64   // of kept concepts' held-out prompts with what they were
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	defer s.Done("attacks")
	t := report.Table{Caption: fmt.Sprintf("Soft prompts of %d steps, found on the edited encoder through its weights: held-out prompts of the concept that are recognised", c.Descent.Steps),
		Columns: []report.Column{{Name: "method"}, {Name: "tokens"}, {Name: "recognised"}, {Name: "kept prompts, cosine"}}}
	rates := map[string]float64{}
	for _, m := range c.Methods {
		found, _, err := m.Resolve()
		if err != nil {
			return err
		}
		if found.Acts != method.ActsWeights {
			continue
		}
		label := m.Label
		if label == "" {
			label = m.Name
		}
		o := &outcome{hits: map[int]int{}, n: map[int]int{}}
		for _, name := range c.Task.Erase {
			if err := o.add(ctx, r.Encoder, c, m, name); err != nil {
				return err
			}
		}
		cosine, err := lab.MeanOver(ctx, o.cosine, lab.UpTo(len(o.cosine)), c.Seed)
		if err != nil {
			return err
		}
		key := compare.Key(label)
		s.Interval(key+".retain_cos", cosine)
		for _, k := range c.Tokens {
			rate, err := stats.Wilson(o.hits[k], o.n[k], lab.Level)
			if err != nil {
				return err
			}
			s.Interval(fmt.Sprintf("%s.soft_%d", key, k), rate)
			rates[fmt.Sprintf("%s.%d", key, k)] = rate.Value
			t.Rows = append(t.Rows, []any{label, k, lab.Cell(rate), lab.Cell(cosine)})
		}
	}
	s.Table("soft prompts", t)
	for _, k := range c.Tokens {
		plain, trained := rates[fmt.Sprintf("esd.%d", k)], rates[fmt.Sprintf("advunlearn.%d", k)]
		if plain > 0 {
			s.Value(fmt.Sprintf("soft_%d.advunlearn_over_esd", k), trained/plain)
		}
	}
	return nil
}

// add fits a method to one concept, attacks it, and looks at what it keeps.
func (o *outcome) add(ctx context.Context, e *encoder.Encoder, c *Config, m compare.Method, name string) (err error) {
	found, conf, err := m.Resolve()
	if err != nil {
		return err
	}
	cfg := c.Task
	cfg.Erase = []string{name}
	task, err := method.NewTask(cfg)
	if err != nil {
		return err
	}
	v, err := found.Fit(ctx, e, task, conf)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer func() { err = errors.Join(err, v.Params.FreeUnshared(e.Model.Params)) }()
	goals, kept, err := attack.Goals(ctx, e, task, 0)
	if err != nil {
		return err
	}
	soft, err := attack.Find("soft-prompt")
	if err != nil {
		return err
	}
	for _, k := range c.Tokens {
		result, err := soft.Run(ctx, e, v, goals[0], &attack.SoftConfig{AdamConfig: c.Descent, Tokens: k})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		rates, err := erase.AttackSuccess(result.Before, result.After)
		if err != nil {
			return err
		}
		o.hits[k], o.n[k] = o.hits[k]+rates.After.Hits, o.n[k]+rates.After.N
	}
	var prompts []string
	for _, g := range kept {
		prompts = append(prompts, g.Prompts...)
	}
	before, err := e.Embed(ctx, nil, prompts)
	if err != nil {
		return err
	}
	after, err := e.Embed(ctx, v, prompts)
	if err != nil {
		return err
	}
	for i := range prompts {
		a, b := before.RawRowView(i), after.RawRowView(i)
		o.cosine = append(o.cosine, floats.Dot(a, b)/floats.Norm(a, 2)/floats.Norm(b, 2))
	}
	return nil
}
