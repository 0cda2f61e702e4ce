// Package doco asks of domain correction (arXiv:2405.15304), on a text encoder with a discriminator of embeddings, what the paper claims of it
// on a denoiser: that the discriminator ends at chance, that prompts that no training saw are erased too, and that gradient surgery protects
// what is retained.
package doco

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
	Model    string            `json:"model" doc:"text encoder"`
	Domain   string            `json:"domain" doc:"of the concepts" enum:"objects,people,sensitive,styles"`
	Erase    []string          `json:"erase" doc:"concepts, each by itself"`
	Fit      method.DoCoConfig `json:"fit" doc:"of each erasure; surgery is varied"`
	Benign   int               `json:"benign" doc:"ordinary sentences that are retained"`
	Ordinary int               `json:"ordinary" doc:"ordinary sentences that no fit sees"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "doco", Doc: "erasing by a discriminator of embeddings, with and without gradient surgery (arXiv:2405.15304)", New: newConfig},
		Title: "DoCo: domain correction of a text encoder by a discriminator",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "doco", Seed: 1}, Model: "minilm", Domain: "objects", Erase: []string{"dog", "church", "bicycle"}, Fit: method.DefaultDoCo(), Benign: 64, Ordinary: 16,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Erase) == 0 || c.Benign < 2 || c.Ordinary < 2 {
		return fmt.Errorf("erase %v, benign %d, ordinary %d; name a concept and take two sentences or more of each", c.Erase, c.Benign, c.Ordinary)
	}
	return c.Fit.Validate()
}

// result is what one kind of surgery did to all concepts.
type result struct {
	seen             *evaluate.Seen
	before, after    []float64 // accuracy of the discriminator on the fitting prompts
	retain, conflict []float64
}

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
		Caption: "shares of held-out prompts that are recognised, how far embeddings move over their norm, accuracy of the discriminator on the fitting prompts, squared error of the retained texts in the last step, share of tensors whose gradients pointed apart",
		Columns: []report.Column{{Name: "surgery"}, {Name: "Acc_e"}, {Name: "Acc_g"}, {Name: "Acc_s"}, {Name: "neighbours move"}, {Name: "ordinary move"}, {Name: "D, warmed up"}, {Name: "D, at the end"}, {Name: "retain loss"}, {Name: "conflicts"}},
	}
	retain := make(map[string]float64)
	for _, surgery := range []string{"nothing", method.SurgeryPCGrad, method.SurgeryPublished, method.SurgeryNone} {
		r, err := erased(ctx, e, c, surgery)
		if err != nil {
			return fmt.Errorf("surgery %s: %w", surgery, err)
		}
		cells := []any{surgery}
		for i, values := range [][]float64{r.seen.Erased, r.seen.Synonym, r.seen.Kept, r.seen.Neighbour, r.seen.Ordinary} {
			got, err := lab.MeanOver(ctx, values, lab.UpTo(len(values)), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(surgery+[]string{".acc_e", ".acc_g", ".acc_s", ".neighbour", ".ordinary"}[i], got)
			cells = append(cells, lab.Cell(got))
		}
		if len(r.after) > 0 {
			retain[surgery] = stat.Mean(r.retain, nil)
			s.Value(surgery+".d", stat.Mean(r.after, nil))
			s.Value(surgery+".conflicts", stat.Mean(r.conflict, nil))
			cells = append(cells, stat.Mean(r.before, nil), stat.Mean(r.after, nil), retain[surgery], stat.Mean(r.conflict, nil))
		} else {
			cells = append(cells, "", "", "", "")
		}
		t.Rows = append(t.Rows, cells)
		s.Done(surgery)
	}
	s.Text("Each of %v erased from %s by itself: %v trained for %d steps against a discriminator of %d hidden units, warmed up for %d. n = 1 seed.", c.Erase, c.Model, c.Fit.Update, c.Fit.Train.Steps, c.Fit.Hidden, c.Fit.Warmup)
	s.Table("surgery", t)
	s.Value("retain_ratio", retain[method.SurgeryPCGrad]/retain[method.SurgeryNone])
	return nil
}

// erased measures all concepts with one kind of surgery; "nothing" is the encoder itself.
func erased(ctx context.Context, e *encoder.Encoder, c *Config, surgery string) (*result, error) {
	m, err := method.Find("doco")
	if err != nil {
		return nil, err
	}
	r := &result{}
	var all []*evaluate.Seen
	for _, name := range c.Erase {
		cfg := method.DefaultTask()
		cfg.Domain, cfg.Erase, cfg.Seed, cfg.Benign, cfg.HeldOut = c.Domain, []string{name}, c.Seed, c.Benign, c.Ordinary
		if cfg.Domain == cfg.Cross {
			cfg.Cross = "objects"
		}
		task, err := method.NewTask(cfg)
		if err != nil {
			return nil, err
		}
		b, err := evaluate.NewBrief(ctx, e, task, c.Ordinary)
		if err != nil {
			return nil, err
		}
		var v *encoder.Variant
		if surgery != "nothing" {
			conf := c.Fit
			conf.Surgery = surgery
			if v, err = m.Fit(ctx, e, task, &conf); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for key, to := range map[string]*[]float64{"d_accuracy_before": &r.before, "d_accuracy": &r.after, "last_retain_loss": &r.retain, "conflicts": &r.conflict} {
				*to = append(*to, v.Notes[key].(float64))
			}
		}
		one, err := b.Of(ctx, v)
		if v != nil {
			err = errors.Join(err, v.Params.FreeUnshared(e.Model.Params))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, one)
	}
	r.seen = evaluate.Join(all...)
	return r, nil
}
