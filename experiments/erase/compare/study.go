// Package compare is the study behind `loupe erase eval`: several ways to erase concepts from a text encoder, measured in one way.
package compare

import (
	"context"
	"fmt"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/reader"
	"loupe/internal/config"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// Study compares methods.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: Kind, Doc: "erase concepts from a text encoder by several methods, and measure what is gone, what is kept and what comes back", New: func() any { return DefaultConfig() }},
		Title: "Concepts erased from a text encoder: what is gone, what is kept, what comes back",
		Run: func(ctx context.Context, s *study.Session, conf any) error {
			_, err := Run(ctx, s, conf.(*Config))
			return err
		},
		Steps: func(conf any) []string { return steps(conf.(*Config)) },
	}
}

func steps(c *Config) []string {
	erased := fmt.Sprintf("%d concepts", len(c.Task.Erase))
	if len(c.Task.Erase) == 0 {
		erased = "every concept"
	}
	out := []string{fmt.Sprintf("%s: erase %s of %s, each by itself; keep the others and those of %s", c.Model, erased, c.Task.Domain, c.Task.Cross)}
	for _, m := range c.Methods {
		seeds := c.Seeds
		if m.Seeds > 0 {
			seeds = m.Seeds
		}
		out = append(out, fmt.Sprintf("%s (%s): %d seed(s)", m.label(), m.Name, seeds))
	}
	return out
}

// Open makes the encoder of a session.
func Open(ctx context.Context, s *study.Session, ref, pool string) (*encoder.Encoder, error) {
	l, err := s.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	return encoder.New(l.Engine, l.Model, l.Tokenizer, pool)
}

// Run measures every method and publishes the rows.
func Run(ctx context.Context, s *study.Session, c *Config) (*Result, error) {
	e, err := Open(ctx, s, c.Model, c.Pool)
	if err != nil {
		return nil, err
	}
	c.Task.Seed = c.Seed
	suite, err := evaluate.NewSuite(ctx, e, c.Config)
	if err != nil {
		return nil, err
	}
	kv, err := c.stack(e.Width())
	if err != nil {
		return nil, err
	}
	if kv != nil {
		if err := suite.ReadWith(kv); err != nil {
			return nil, err
		}
	}
	s.Done("prompts")
	var rows []*evaluate.Row
	for _, m := range c.Methods {
		row, err := study.Step(s, "row-"+m.label(), func() (*evaluate.Row, error) {
			found, conf, err := m.Resolve()
			if err != nil {
				return nil, err
			}
			return suite.With(m.Seeds, m.Concepts, m.Together).Row(ctx, found, m.label(), conf, nil)
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
		s.Done(m.label())
	}
	Publish(s, c.Config, rows)
	return &Result{Encoder: e, Suite: suite, Rows: rows}, nil
}

// Result is what a comparison found, for studies that go on from it.
type Result struct {
	Encoder *encoder.Encoder
	Suite   *evaluate.Suite
	Rows    []*evaluate.Row
}

// Row finds a row by its label; nil where there is none.
func (r *Result) Row(label string) *evaluate.Row {
	for _, row := range r.Rows {
		if row.Label == label {
			return row
		}
	}
	return nil
}

// stack reads the K/V stack, or draws one.
func (c *Config) stack(d int) (*mat.Dense, error) {
	var r *reader.Stack
	var err error
	switch {
	case c.KV != "":
		r, err = reader.ReadStack(c.KV, d, "")
	case c.KVRows > 0:
		r, err = reader.DrawStack("", c.KVRows, d, uint64(c.Seed))
	}
	if r == nil || err != nil {
		return nil, err
	}
	return r.Weights, nil
}

// Publish writes the rows' tables and numbers into a session. Numbers are named LABEL.h, LABEL.acc_e and so on, with "_" for "-".
func Publish(s *study.Session, cfg evaluate.Config, rows []*evaluate.Row) {
	concepts := strings.Join(cfg.Task.Erase, ", ")
	if concepts == "" {
		concepts = "every concept"
	}
	s.Text("Erased from %s: %s, each by itself; prototypes and prompts share no template. Needs images and is not here: %s.", cfg.Task.Domain, concepts, strings.Join(evaluate.ImageOnly(), ", "))
	s.Table("methods", evaluate.Table(rows))
	if t := evaluate.TogetherTable(rows); len(t.Rows) > 0 {
		s.Table("together", t)
	}
	if t := evaluate.AttackTable(rows); len(t.Rows) > 0 {
		s.Table("attacks", t)
	}
	for _, r := range rows {
		Numbers(s, Key(r.Label), r)
		if w, ok := r.Notes["warnings"]; ok {
			s.Text("%s warns: %v", r.Label, w)
		}
	}
}

// Key is a label as part of a number's name.
func Key(label string) string {
	return strings.ReplaceAll(strings.ReplaceAll(label, "-", "_"), " ", "_")
}

// Numbers takes a row's numbers into a session.
func Numbers(s *study.Session, key string, r *evaluate.Row) {
	s.Interval(key+".h", r.Harmonic)
	for _, n := range []struct {
		name string
		i    *stats.Interval
	}{
		{"acc_e", r.Erased}, {"acc_s", r.Specific}, {"acc_g", r.General}, {"implicit", r.Implicit}, {"ua", r.Unlearning}, {"ira", r.InDomain}, {"cra", r.CrossDomain},
		{"np_cos", r.NeighbourCosine}, {"np_acc", r.NeighbourAccuracy}, {"np_rank", r.NeighbourRank}, {"np_kv", r.NeighbourKV}, {"drift", r.Drift}, {"missed", r.Missed},
		{"tpr", r.TPR}, {"fpr", r.FPR}, {"identical", r.Identical}, {"probe", r.ProbeAfter}, {"probe_before", r.ProbeBefore}, {"probe_shuffled", r.ProbeShuffled},
		{"condition", r.Condition}, {"inverse_reach", r.Reached}, {"inverse_norm", r.Inverse}, {"kv_erased", r.KVErased}, {"kv_drift", r.KVDrift},
	} {
		if n.i != nil {
			s.Interval(key+"."+n.name, *n.i)
		}
	}
	s.Value(key+".seconds", r.Seconds)
	s.Value(key+".beats", truth(r.Beats))
	for _, g := range r.Together {
		at := fmt.Sprintf("%s.at_once_%d", key, g.Concepts)
		s.Interval(at+".h", g.Harmonic)
		s.Interval(at+".acc_e", *g.Erased)
		s.Interval(at+".acc_s", *g.Specific)
		s.Interval(at+".drift", *g.Drift)
		s.Value(at+".seconds", g.Seconds)
	}
	for _, a := range r.Attacks {
		kind := "static"
		if a.Adaptive {
			kind = "adaptive"
		}
		s.Interval(fmt.Sprintf("%s.%s_%s", key, Key(a.Attack), kind), *a.After)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
