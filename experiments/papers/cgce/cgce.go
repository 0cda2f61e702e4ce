// Package cgce guards a text encoder by classifiers that refine a text's states until they no longer find a concept (CGCE).
package cgce

import (
	"context"
	"fmt"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// Config says what is erased and how classifiers are trained.
type Config struct {
	study.Base
	Model string            `json:"model" doc:"text encoder"`
	Eval  evaluate.Config   `json:"eval" doc:"what is erased and how it is measured"`
	CGCE  method.CGCEConfig `json:"cgce" doc:"of the guard"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "cgce", Doc: "classifier-guided concept erasure: states refined at inference until a classifier finds no concept", New: newConfig},
		Title: "CGCE: a guard that refines a text's states until its classifier finds nothing",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	m, err := method.Find("cgce")
	if err != nil {
		panic(err)
	}
	c := &Config{Base: study.Base{Name: "cgce", Seed: 1}, Model: "minilm", Eval: evaluate.DefaultConfig(), CGCE: *m.Config().(*method.CGCEConfig)}
	c.Eval.Task.Erase = []string{"dog", "church", "boat"}
	c.Eval.Generated, c.Eval.Together, c.Eval.Probe = 0, nil, false
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if err := c.Eval.Validate(); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	if len(c.Eval.Task.Erase) == 0 {
		return fmt.Errorf("eval.task.erase is empty; name concepts")
	}
	return c.CGCE.Validate()
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	e, err := compare.Open(ctx, s, c.Model, "")
	if err != nil {
		return err
	}
	c.Eval.Task.Seed = c.Seed
	suite, err := evaluate.NewSuite(ctx, e, c.Eval)
	if err != nil {
		return err
	}
	attentive := c.CGCE
	attentive.Train.Attention = true
	once := c.CGCE
	once.Rounds = 0
	var rows []*evaluate.Row
	for _, v := range []struct {
		label, method string
		conf          any
	}{{"nothing", "nothing", &method.None{}}, {"cgce", "cgce", &c.CGCE}, {"one training", "cgce", &once}, {"attention", "cgce", &attentive}} {
		m, err := method.Find(v.method)
		if err != nil {
			return err
		}
		row, err := study.Step(s, "row-"+v.label, func() (*evaluate.Row, error) { return suite.Row(ctx, m, v.label, v.conf, nil) })
		if err != nil {
			return err
		}
		rows = append(rows, row)
		compare.Numbers(s, compare.Key(v.label), row)
		s.Done(v.label)
	}
	s.Table("methods", evaluate.Table(rows))
	s.Value("acc_s_drop", rows[0].Specific.Value-rows[1].Specific.Value)
	s.Text("Needs images and is not here: %s.", strings.Join(evaluate.ImageOnly(), ", "))
	if err := guards(ctx, s, e, c); err != nil {
		return err
	}
	s.Done("guard")
	return nil
}

// guards looks into the guard that holds the classifiers of all concepts at once: its classifiers, its steps, and what it makes of a text.
func guards(ctx context.Context, s *study.Session, e *encoder.Encoder, c *Config) error {
	t, err := method.NewTask(c.Eval.Task)
	if err != nil {
		return err
	}
	m, err := method.Find("cgce")
	if err != nil {
		return err
	}
	v, err := m.Fit(ctx, e, t, &c.CGCE)
	if err != nil {
		return err
	}
	guard := v.Hook.(*erase.Guard)
	var benign []string
	for _, k := range append(t.Keep, t.Cross...) {
		benign = append(benign, k.Held...)
	}
	benign = append(benign, t.HeldOut...)
	others, err := e.StatesAt(ctx, nil, v.Layer, benign)
	if err != nil {
		return err
	}
	table := report.Table{Caption: "One guard of all classifiers, on held-out templates: a concept's prompts against their twins with the anchor and all that is kept",
		Columns: []report.Column{{Name: "concept"}, {Name: "AUROC"}, {Name: "steps", Doc: "mean over its prompts"}, {Name: "safe", Doc: "prompts that no classifier finds any more"}, {Name: "gap closed", Doc: "of the cosine with the twin to 1"}}}
	var auc, closed, steps, safe []float64
	var concept []int
	for k, target := range t.Erase {
		states, err := e.StatesAt(ctx, nil, v.Layer, append(append([]string(nil), target.Held...), target.AnchorHeld...))
		if err != nil {
			return err
		}
		with, twins := states[:len(target.Held)], states[len(target.Held):]
		var scores []float64
		var label []bool
		for i, x := range append(append(append([]*encoder.State(nil), with...), twins...), others...) {
			logit, _, err := guard.Classifiers[k].Logit(x.X)
			if err != nil {
				return err
			}
			scores, label = append(scores, logit), append(label, i < len(with))
		}
		a, err := stats.AUCNewcombe(scores, label, lab.Level)
		if err != nil {
			return err
		}
		auc = append(auc, a.Value)
		first := len(steps)
		for i, x := range with {
			r, err := guard.Refine(x.Text())
			if err != nil {
				return err
			}
			before, after, err := cosines(e, x, r.X, twins[i])
			if err != nil {
				return err
			}
			closed, steps, safe, concept = append(closed, (after-before)/(1-before)), append(steps, float64(r.Steps)), append(safe, truth(r.Safe)), append(concept, k)
		}
		mean := func(x []float64) float64 { return floats.Sum(x[first:]) / float64(len(x)-first) }
		table.Rows = append(table.Rows, []any{target.Name, lab.Cell(a), mean(steps), mean(safe), mean(closed)})
	}
	s.Table("guard", table)
	s.Value("auroc", floats.Min(auc))
	for _, n := range []struct {
		name string
		x    []float64
	}{{"gap_closed", closed}, {"steps", steps}, {"safe", safe}} {
		i, err := lab.MeanOver(ctx, n.x, lab.UpTo(len(concept)), c.Seed)
		if err != nil {
			return err
		}
		s.Interval(n.name, i)
	}
	changed := 0
	for _, x := range others {
		after, acted, err := guard.Apply(x.Text())
		if err != nil {
			return err
		}
		if acted || after != x.X {
			changed++
		}
	}
	s.Value("benign_changed", float64(changed))
	s.Text("With all %d classifiers at once %d of %d benign texts were changed.", len(guard.Classifiers), changed, len(others))
	return nil
}

// cosines of a text's embedding with its twin's, before and after refinement.
func cosines(e *encoder.Encoder, x *encoder.State, refined *mat.Dense, twin *encoder.State) (before, after float64, err error) {
	rows, err := e.Rows([]*encoder.State{x, {Encoding: x.Encoding, X: refined}, twin})
	if err != nil {
		return 0, 0, err
	}
	cos := func(a, b []float64) float64 { return floats.Dot(a, b) / (floats.Norm(a, 2) * floats.Norm(b, 2)) }
	return cos(rows.RawRowView(0), rows.RawRowView(2)), cos(rows.RawRowView(1), rows.RawRowView(2)), nil
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
