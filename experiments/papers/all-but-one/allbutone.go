// Package allbutone trains what guidance makes of a concept's prompt, with the empty text held in place, beside training the prompt away
// (All but One, and ESD, arXiv:2303.07345).
package allbutone

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says what is erased; drifts are measured for every method but the baselines.
type Config struct{ compare.Config }

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "all-but-one", Doc: "All but One: guidance towards an alternative, the empty text and the context kept, beside ESD", New: newConfig},
		Title: "All but One: what else moves when a concept's guidance is rewritten",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig()}
	c.Name = "all-but-one"
	return c
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	defer s.Done("drift")
	t := report.Table{Caption: "Relative distance that states of the original encoder move", Columns: []report.Column{
		{Name: "method"}, {Name: "empty text"}, {Name: "context", Doc: "tokens of the concept's held-out prompts outside its name"}}}
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
		var null, context []float64
		for _, name := range c.Task.Erase {
			n, more, err := drifts(ctx, r.Encoder, c, m, name)
			if err != nil {
				return err
			}
			null, context = append(null, n), append(context, more...)
		}
		of, err := lab.MeanOver(ctx, context, lab.UpTo(len(context)), c.Seed)
		if err != nil {
			return err
		}
		mean := floats.Sum(null) / float64(len(null))
		s.Value(compare.Key(label)+".null_drift", mean)
		s.Interval(compare.Key(label)+".context_drift", of)
		t.Rows = append(t.Rows, []any{label, mean, lab.Cell(of)})
	}
	s.Table("drift", t)
	return nil
}

// drifts fits a method to one concept and returns how far it moves the empty text, and the context of each held-out prompt.
func drifts(ctx context.Context, e *encoder.Encoder, c *Config, m compare.Method, name string) (null float64, context []float64, err error) {
	found, conf, err := m.Resolve()
	if err != nil {
		return 0, nil, err
	}
	cfg := c.Task
	cfg.Erase = []string{name}
	task, err := method.NewTask(cfg)
	if err != nil {
		return 0, nil, err
	}
	v, err := found.Fit(ctx, e, task, conf)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", name, err)
	}
	defer func() { err = errors.Join(err, v.Params.FreeUnshared(e.Model.Params)) }()
	target := task.Erase[0]
	texts := append([]string{""}, target.Held...)
	was, err := e.States(ctx, nil, texts)
	if err != nil {
		return 0, nil, err
	}
	is, err := e.States(ctx, v, texts)
	if err != nil {
		return 0, nil, err
	}
	for i := range texts {
		keep := make([]bool, was[i].Len())
		for k := range keep {
			keep[k] = true
		}
		if i > 0 {
			twin, err := e.Tokens(target.AnchorHeld[i-1])
			if err != nil {
				return 0, nil, err
			}
			keep = shared(was[i].IDs, twin.IDs)
		}
		var moved, size float64
		for k, yes := range keep {
			if yes {
				moved += math.Pow(floats.Distance(was[i].X.RawRowView(k), is[i].X.RawRowView(k), 2), 2)
				size += math.Pow(floats.Norm(was[i].X.RawRowView(k), 2), 2)
			}
		}
		d := math.Sqrt(moved / size)
		if i == 0 {
			null = d
		} else {
			context = append(context, d)
		}
	}
	return null, context, nil
}

// shared marks the tokens that a text begins and ends with like its twin, which has another name in its place.
func shared(a, b []int32) []bool {
	out := make([]bool, len(a))
	head := 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		out[head] = true
		head++
	}
	for k := 1; k <= min(len(a), len(b))-head && a[len(a)-k] == b[len(b)-k]; k++ {
		out[len(a)-k] = true
	}
	return out
}
