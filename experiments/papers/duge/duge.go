// Package duge erases concepts one request after the other, and measures what later requests do to earlier ones (the continual
// harness of DUGE).
package duge

import (
	"context"
	"fmt"

	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/continual"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// Config says which requests follow each other.
type Config struct {
	study.Base
	Model   string            `json:"model" doc:"text encoder"`
	Task    method.TaskConfig `json:"task" doc:"its erase lists the requests in their order"`
	Orders  int               `json:"orders" doc:"rotations of that order, each a run of its own"`
	Methods []compare.Method  `json:"methods" doc:"that erase"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "duge", Doc: "continual erasure: relapse of earlier requests, one after the other against all at once", New: newConfig},
		Title: "Continual erasure: what later requests do to earlier ones",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	t := method.DefaultTask()
	t.Erase = []string{"dog", "church", "boat", "parrot", "bridge", "bicycle"}
	return &Config{Base: study.Base{Name: "duge", Seed: 1}, Model: "minilm", Task: t, Orders: 3, Methods: []compare.Method{{Name: "uce"}}}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Task.Erase) < 2 || c.Orders < 1 || c.Orders > len(c.Task.Erase) || len(c.Methods) == 0 {
		return fmt.Errorf("%d requests, %d orders, %d methods; use two requests or more, from one order to as many, and a method", len(c.Task.Erase), c.Orders, len(c.Methods))
	}
	for _, m := range c.Methods {
		if _, _, err := m.Resolve(); err != nil {
			return err
		}
	}
	return c.Task.Validate()
}

// outcome is one method with and without replay, over orders.
type outcome struct {
	Label  string
	Replay bool
	Runs   []*continual.Result
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	c.Task.Seed = c.Seed
	e, err := compare.Open(ctx, s, c.Model, "")
	if err != nil {
		return err
	}
	cfg := evaluate.DefaultConfig()
	cfg.Task, cfg.Grid, cfg.Generated, cfg.Together = c.Task, 1, 0, nil
	suite, err := evaluate.NewSuite(ctx, e, cfg)
	if err != nil {
		return err
	}
	s.Done("prompts")
	var all []outcome
	for _, m := range c.Methods {
		for _, replay := range []bool{false, true} {
			label := m.Label
			if label == "" {
				label = m.Name
			}
			if replay {
				label += "-replay"
			}
			o, err := study.Step(s, label, func() (outcome, error) { return c.sequences(ctx, e, suite, m, label, replay) })
			if err != nil {
				return err
			}
			all = append(all, o)
			s.Done(label)
		}
	}
	return publish(ctx, s, c, all)
}

func (c *Config) sequences(ctx context.Context, e *encoder.Encoder, suite *evaluate.Suite, m compare.Method, label string, replay bool) (outcome, error) {
	o := outcome{Label: label, Replay: replay}
	found, conf, err := m.Resolve()
	if err != nil {
		return o, err
	}
	for order := range c.Orders {
		of := c.Task
		n := len(of.Erase)
		task, err := method.NewTask(of)
		if err != nil {
			return o, err
		}
		// in the order of the requests, which is not the suite's
		byName := map[string]method.Target{}
		for _, t := range task.Erase {
			byName[t.Name] = t
		}
		for i := range n {
			task.Erase[i] = byName[of.Erase[(i+order*n/c.Orders)%n]]
		}
		r, err := continual.Run(ctx, e, found, conf, task, accuracies(suite, task), continual.Options{Replay: replay})
		if err != nil {
			return o, fmt.Errorf("%s: %w", label, err)
		}
		o.Runs = append(o.Runs, r)
	}
	return o, nil
}

// accuracies measure the share of a request's held-out prompts that prototypes of the original encoder still recognise, and that of
// the kept concepts.
func accuracies(suite *evaluate.Suite, task *method.Task) continual.Measures {
	share := func(ctx context.Context, v *encoder.Variant, targets []method.Target) (float64, error) {
		var names []string
		for _, t := range targets {
			names = append(names, t.Name)
		}
		r, err := suite.Recognised(ctx, v, names)
		if err != nil {
			return 0, err
		}
		return r.Rate()
	}
	return continual.Measures{
		Request: func(ctx context.Context, v *encoder.Variant, j int) (float64, error) {
			return share(ctx, v, task.Erase[j:j+1])
		},
		Kept: func(ctx context.Context, v *encoder.Variant) (float64, error) { return share(ctx, v, task.Keep) },
	}
}

func publish(ctx context.Context, s *study.Session, c *Config, all []outcome) error {
	n := len(c.Task.Erase)
	s.Text("%d requests one after the other in %d orders, beside all at once; Acc_e of earlier requests is over those before the last, after the last. Orders are what intervals resample.", n, c.Orders)
	t := report.Table{Caption: "After the last request", Columns: []report.Column{{Name: "method"}, {Name: "Acc_e, last request"}, {Name: "Acc_e, earlier requests"}, {Name: "the same, at once"},
		{Name: "Acc_s"}, {Name: "Acc_s, at once"}, {Name: "distance", Doc: "from the original: |E - I| or of the weights"}, {Name: "distance, at once"}}}
	for _, o := range all {
		key := compare.Key(o.Label)
		pick := func(name string, of func(r *continual.Result) float64) (stats.Interval, error) {
			x := make([]float64, len(o.Runs))
			for i, r := range o.Runs {
				x[i] = of(r)
			}
			i := stats.Interval{Value: x[0], Low: x[0], High: x[0], Level: lab.Level, N: 1}
			if len(x) > 1 {
				var err error
				if i, err = lab.MeanOver(ctx, x, lab.UpTo(len(x)), c.Seed); err != nil {
					return i, err
				}
			}
			s.Interval(key+"."+name, i)
			return i, nil
		}
		cells := []any{o.Label}
		for _, q := range []struct {
			name string
			of   func(r *continual.Result) float64
		}{
			{"last", func(r *continual.Result) float64 { return r.Relapse[n-1][n-1] }},
			{"earlier", func(r *continual.Result) float64 { return mean(r.Relapse[n-1][:n-1]) }},
			{"earlier_at_once", func(r *continual.Result) float64 { return mean(r.RelapseJoint[n-1][:n-1]) }},
			{"acc_s", func(r *continual.Result) float64 { return r.Kept[n-1] }},
			{"acc_s_at_once", func(r *continual.Result) float64 { return r.KeptJoint[n-1] }},
			{"distance", func(r *continual.Result) float64 { return r.Delta[n-1] }},
			{"distance_at_once", func(r *continual.Result) float64 { return r.DeltaJoint[n-1] }},
		} {
			i, err := pick(q.name, q.of)
			if err != nil {
				return err
			}
			cells = append(cells, lab.Cell(i))
		}
		relapse := make([]float64, len(o.Runs))
		for i, r := range o.Runs {
			for j := range n - 1 {
				relapse[i] += (r.Relapse[n-1][j] - r.Relapse[j][j]) / float64(n-1)
			}
		}
		s.Value(key+".relapse", mean(relapse))
		t.Rows = append(t.Rows, cells)
	}
	s.Table("last", t)
	for _, o := range all {
		m := report.Table{Caption: fmt.Sprintf("%s: Acc_e of each request after each later one, first order", o.Label), Columns: []report.Column{{Name: "after"}}}
		for _, name := range c.Task.Erase {
			m.Columns = append(m.Columns, report.Column{Name: name})
		}
		for i, row := range o.Runs[0].Relapse {
			cells := []any{c.Task.Erase[i]}
			for j := range n {
				if j < len(row) {
					cells = append(cells, row[j])
				} else {
					cells = append(cells, nil)
				}
			}
			m.Rows = append(m.Rows, cells)
		}
		s.Table("relapse-"+o.Label, m)
	}
	return nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
