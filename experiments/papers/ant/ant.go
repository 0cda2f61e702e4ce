// Package ant asks of the text analogue of ANT's saliency mask whether training less than half of the weights, those with large gradients in
// every augmentation of the prompt, erases a concept with less harm than training all of them.
package ant

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/gonum/stat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says what is erased and how.
type Config struct {
	study.Base
	Model    string           `json:"model" doc:"text encoder"`
	Domain   string           `json:"domain" doc:"of the concepts" enum:"objects,people,sensitive,styles"`
	Erase    []string         `json:"erase" doc:"concepts, each by itself"`
	Fit      method.ANTConfig `json:"fit" doc:"of each erasure; mask is varied"`
	Fewer    int              `json:"fewer" doc:"steps of the unmasked training that stops early"`
	Ordinary int              `json:"ordinary" doc:"ordinary sentences"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "ant", Doc: "a saliency mask over augmentations for erasing from a text encoder, beside random and no masks", New: newConfig},
		Title: "ANT: masked training by salience over augmentations",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "ant", Seed: 1}, Model: "minilm", Domain: "objects", Erase: []string{"dog", "church", "bicycle"}, Fit: method.DefaultANT(), Fewer: 8, Ordinary: 16,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Erase) == 0 || c.Ordinary < 2 || c.Fewer < 1 {
		return fmt.Errorf("erase %v, ordinary %d, fewer %d; name a concept, take two sentences or more and a step or more", c.Erase, c.Ordinary, c.Fewer)
	}
	return c.Fit.Validate()
}

// early is the unmasked training that stops early, for a comparison at less movement.
const early = "early"

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	e, err := encoder.New(l.Engine, l.Model, l.Tokenizer, "")
	if err != nil {
		return err
	}
	t := report.Table{
		Caption: "shares of held-out prompts that are recognised, how far embeddings move over their norm, share of the trained matrices' weights that move",
		Columns: []report.Column{{Name: "mask"}, {Name: "Acc_e"}, {Name: "Acc_g"}, {Name: "Acc_s"}, {Name: "neighbours move"}, {Name: "ordinary move"}, {Name: "weights"}},
	}
	drift := make(map[string]float64)
	for _, mask := range []string{"nothing", method.MaskSalient, method.MaskLeast, method.MaskRandom, method.MaskNone, early} {
		seen, moved, err := erased(ctx, e, c, mask)
		if err != nil {
			return fmt.Errorf("mask %s: %w", mask, err)
		}
		title := mask
		if mask == early {
			title = fmt.Sprintf("none, %d steps", c.Fewer)
		}
		cells := []any{title}
		for i, values := range [][]float64{seen.Erased, seen.Synonym, seen.Kept, seen.Neighbour, seen.Ordinary} {
			got, err := lab.MeanOver(ctx, values, lab.UpTo(len(values)), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(mask+[]string{".acc_e", ".acc_g", ".acc_s", ".neighbour", ".ordinary"}[i], got)
			cells = append(cells, lab.Cell(got))
		}
		drift[mask] = stat.Mean(seen.Neighbour, nil)
		s.Value(mask+".moved", moved)
		t.Rows = append(t.Rows, append(cells, moved))
		s.Done(mask)
	}
	s.Text("Each of %v erased from %s by itself in %d steps at %v; the mask is the intersection over %d templates of the %v of each tensor with the largest gradients. n = 1 seed.",
		c.Erase, c.Model, c.Fit.Train.Steps, c.Fit.Train.LR, c.Fit.Augmentations, c.Fit.Keep)
	s.Table("masks", t)
	s.Value("drift_ratio", drift[method.MaskSalient]/drift[method.MaskNone])
	return nil
}

// erased measures all concepts with one mask, and the share of weights that it lets move; "nothing" is the encoder itself.
func erased(ctx context.Context, e *encoder.Encoder, c *Config, mask string) (*evaluate.Seen, float64, error) {
	m, err := method.Find("ant")
	if err != nil {
		return nil, 0, err
	}
	var all []*evaluate.Seen
	moved := 0.0
	for _, name := range c.Erase {
		cfg := method.DefaultTask()
		cfg.Domain, cfg.Erase, cfg.Seed, cfg.Benign, cfg.HeldOut = c.Domain, []string{name}, c.Seed, 2, c.Ordinary
		if cfg.Domain == cfg.Cross {
			cfg.Cross = "objects"
		}
		task, err := method.NewTask(cfg)
		if err != nil {
			return nil, 0, err
		}
		b, err := evaluate.NewBrief(ctx, e, task, c.Ordinary)
		if err != nil {
			return nil, 0, err
		}
		var v *encoder.Variant
		if mask != "nothing" {
			conf := c.Fit
			if conf.Mask = mask; mask == early {
				conf.Mask, conf.Train.Steps = method.MaskNone, c.Fewer
			}
			if v, err = m.Fit(ctx, e, task, &conf); err != nil {
				return nil, 0, fmt.Errorf("%s: %w", name, err)
			}
			moved += v.Notes["moved"].(float64) / float64(len(c.Erase))
		}
		one, err := b.Of(ctx, v)
		if v != nil {
			err = errors.Join(err, v.Params.FreeUnshared(e.Model.Params))
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, one)
	}
	return evaluate.Join(all...), moved, nil
}
