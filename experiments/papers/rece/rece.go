// Package rece erases round by round what brings a concept back, and measures whether each round makes that harder (arXiv:2407.12383).
package rece

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/method"
	"loupe/experiments/erase/reader"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says what is erased, and with which K/V stack recovery is measured.
type Config struct {
	compare.Config
	StackRows int              `json:"stack_rows" doc:"rows of the random K/V stack whose Gram matrix the derivation uses"`
	RECE      erase.RECEConfig `json:"rece" doc:"of the measurement of recovery"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "rece", Doc: "reliable concept erasing: recovery round by round, regularisers, Gram matrix of a K/V stack (arXiv:2407.12383)", New: newConfig},
		Title: "RECE: erasing what brings a concept back",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig(), StackRows: 1024, RECE: erase.DefaultRECE()}
	c.Name = "rece"
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if c.StackRows < 1 {
		return fmt.Errorf("stack_rows is %d; use 1 or more", c.StackRows)
	}
	if err := c.RECE.Validate(); err != nil {
		return err
	}
	return c.Config.Validate()
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	if u, x := r.Row("uce"), r.Row("rece"); u != nil && x != nil {
		s.Value("drift.rece_over_uce", x.Drift.Value/u.Drift.Value)
		s.Value("acc_g.uce_less_rece", u.General.Value-x.General.Value)
	}
	defer s.Done("recovery")
	return recovery(ctx, s, c, r)
}

// recovery derives, before each round and after the last, the embeddings that bring each concept back through a K/V stack, and takes
// their error; beside it the same with the identity in the stack's place.
func recovery(ctx context.Context, s *study.Session, c *Config, r *compare.Result) error {
	e := r.Encoder
	stack, err := reader.DrawStack("", c.StackRows, e.Width(), uint64(c.Seed))
	if err != nil {
		return err
	}
	gram, err := erase.Gram(stack.Weights)
	if err != nil {
		return err
	}
	// a stack of unit scale, so that the published weights of the regulariser mean the same for it and the identity
	gram.ScaleSym(1/float64(c.StackRows), gram)
	grams := []struct {
		name string
		s    *mat.SymDense
	}{{"stack", gram}, {"identity", erase.IdentityGram(e.Width())}}
	t := report.Table{Caption: "Error of the best embedding that brings a concept back, before each round and after the last, means over concepts",
		Columns: []report.Column{{Name: "Gram matrix"}, {Name: "regulariser"}}}
	for i := range c.RECE.Epochs + 1 {
		t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("after %d", i)})
	}
	t.Columns = append(t.Columns, report.Column{Name: "singular", Doc: "concepts whose system had no solution, which the means leave out"})
	embed := func(texts []string) (*mat.Dense, error) { return e.Embed(ctx, nil, texts) }
	for _, g := range grams {
		for _, regulariser := range erase.Regularisers() {
			cfg := c.RECE
			cfg.Derivation.Regulariser = regulariser
			errs := make([][]float64, cfg.Epochs+1)
			var rises []float64
			singular := 0
			for _, name := range r.Suite.Erased() {
				of := c.Task
				of.Erase = []string{name}
				task, err := method.NewTask(of)
				if err != nil {
					return err
				}
				var q erase.Request
				if q.Concepts, err = embed(task.Erase[0].Fit); err != nil {
					return err
				}
				if q.Anchors, err = embed(task.Erase[0].AnchorFit); err != nil {
					return err
				}
				if q.Preserve, err = embed(task.Preserved()); err != nil {
					return err
				}
				edit, err := erase.RECE(ctx, q, g.s, cfg)
				if errors.Is(err, erase.ErrSingular) {
					singular++
					continue
				}
				if err != nil {
					return fmt.Errorf("%s, %s: %w", name, regulariser, err)
				}
				for i, round := range edit.Epochs {
					errs[i] = append(errs[i], round.Recovery)
				}
				errs[cfg.Epochs] = append(errs[cfg.Epochs], edit.Recovery)
				rises = append(rises, edit.Recovery/edit.Epochs[0].Recovery)
			}
			cells := []any{g.name, regulariser}
			name := strings.Replace(regulariser, "reg", "", 1)
			s.Value(fmt.Sprintf("singular.%s_%s", g.name, name), float64(singular))
			for _, x := range errs {
				if len(x) == 0 {
					cells = append(cells, "singular")
					continue
				}
				i, err := lab.MeanOver(ctx, x, lab.UpTo(len(x)), c.Seed)
				if err != nil {
					return err
				}
				cells = append(cells, lab.Cell(i))
			}
			t.Rows = append(t.Rows, append(cells, singular))
			if len(rises) == 0 {
				continue
			}
			rise, err := lab.MeanOver(ctx, rises, lab.UpTo(len(rises)), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(fmt.Sprintf("rise.%s_%s", g.name, name), rise)
		}
	}
	s.Table("recovery", t)
	return nil
}
