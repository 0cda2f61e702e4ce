// Package redteam is the study behind `loupe erase attack`: erasures under attacks, with the same attacks on the unedited encoder and
// random tokens as controls.
package redteam

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"loupe/experiments/erase"
	"loupe/experiments/erase/attack"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/experiments/erase/saved"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Study attacks erasures.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: Kind, Doc: "attack text encoders from which concepts were erased, with found tokens, embeddings and states", New: func() any { return DefaultConfig() }},
		Title: "Erased concepts under attack: what comes back",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
		Steps: func(conf any) []string { return steps(conf.(*Config)) },
	}
}

func steps(c *Config) []string {
	var attacks []string
	for _, a := range c.Attacks {
		attacks = append(attacks, a.Name)
	}
	how := fmt.Sprintf("%s; %s", strings.Join(attacks, ", "), strings.Join(c.Modes, " and "))
	var out []string
	for _, m := range c.Methods {
		out = append(out, fmt.Sprintf("%s: erase %s from %s, each by itself; attack by %s", label(m), strings.Join(c.Task.Erase, ", "), c.Model, how))
	}
	for _, dir := range c.Edits {
		out = append(out, fmt.Sprintf("%s: attack the saved edit by %s", dir, how))
	}
	return out
}

// Outcome is one attack on one erasure, over the prompts of all its concepts.
type Outcome struct {
	Erasure string      `json:"erasure"`
	Attack  string      `json:"attack"`
	Mode    string      `json:"mode"`
	Before  erase.Share `json:"before"`
	After   erase.Share `json:"after"`
	Itself  erase.Share `json:"itself"` // found texts that are recognised, whatever the prompt was before
	Queries int         `json:"queries"`
	Seconds float64     `json:"seconds"`
	Example string      `json:"example"` // the first text that succeeded
	Why     string      `json:"why"`     // why it does not apply; "" where it does
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	e, err := compare.Open(ctx, s, c.Model, c.Pool)
	if err != nil {
		return err
	}
	c.Task.Seed = c.Seed
	var all []Outcome
	add := func(name string, do func() ([]Outcome, error)) error {
		got, err := study.Step(s, "attacked-"+strings.ReplaceAll(name, string(filepath.Separator), "-"), do)
		all = append(all, got...)
		s.Done(name)
		return err
	}
	for _, m := range c.Methods {
		found, conf, err := m.Resolve()
		if err != nil {
			return err
		}
		err = add(label(m), func() ([]Outcome, error) {
			var out []Outcome
			for _, name := range c.Task.Erase {
				task, err := c.task(c.Task.Domain, []string{name})
				if err != nil {
					return nil, err
				}
				v, err := found.Fit(ctx, e, task, conf)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", label(m), name, err)
				}
				out, err = c.attack(ctx, e, label(m), v, task, out)
				if v.Params != nil && v.Params != e.Model.Params {
					err = errors.Join(err, v.Params.FreeUnshared(e.Model.Params))
				}
				if err != nil {
					return nil, err
				}
			}
			return out, nil
		})
		if err != nil {
			return err
		}
	}
	for _, dir := range c.Edits {
		err := add(filepath.Base(dir), func() ([]Outcome, error) {
			v, card, err := saved.Load(dir, e)
			if err != nil {
				return nil, err
			}
			task, err := c.task(card.Domain, card.Erased)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
			return c.attack(ctx, e, filepath.Base(dir), v, task, nil)
		})
		if err != nil {
			return err
		}
	}
	return publish(s, all)
}

func (c *Config) task(domain string, concepts []string) (*method.Task, error) {
	t := c.Task
	if t.Domain != domain && t.Cross == domain {
		t.Cross = t.Domain
	}
	t.Domain, t.Erase = domain, concepts
	return method.NewTask(t)
}

// attack adds every attack on the concepts of a task to what other concepts' gave.
func (c *Config) attack(ctx context.Context, e *encoder.Encoder, name string, v *encoder.Variant, t *method.Task, out []Outcome) ([]Outcome, error) {
	goals, _, err := attack.Goals(ctx, e, t, c.Prompts)
	if err != nil {
		return nil, err
	}
	for _, a := range c.Attacks {
		found, conf, err := a.resolve()
		if err != nil {
			return nil, err
		}
		for _, mode := range c.Modes {
			o := place(&out, Outcome{Erasure: name, Attack: a.Name, Mode: mode})
			for _, g := range goals {
				g.Mode = mode
				r, err := found.Run(ctx, e, v, g, conf)
				if errors.Is(err, attack.ErrNotApplicable) {
					o.Why = err.Error()
					break
				}
				if err != nil {
					return nil, fmt.Errorf("%s, %s, %s: %w", name, a.Name, g.Target.Name, err)
				}
				if err := o.add(r); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// place finds the outcome of an erasure, attack and mode, or appends it.
func place(list *[]Outcome, o Outcome) *Outcome {
	for i := range *list {
		if got := &(*list)[i]; got.Erasure == o.Erasure && got.Attack == o.Attack && got.Mode == o.Mode {
			return got
		}
	}
	*list = append(*list, o)
	return &(*list)[len(*list)-1]
}

func (o *Outcome) add(r *attack.Result) error {
	rates, err := r.Rates()
	if err != nil {
		return err
	}
	o.Before.Hits, o.Before.N = o.Before.Hits+rates.Before.Hits, o.Before.N+rates.Before.N
	o.After.Hits, o.After.N = o.After.Hits+rates.After.Hits, o.After.N+rates.After.N
	o.Queries, o.Seconds = o.Queries+r.Queries, o.Seconds+r.Seconds
	for i, hit := range r.After {
		o.Itself.N++
		if hit {
			o.Itself.Hits++
		}
		if hit && !r.Before[i] && o.Example == "" {
			o.Example = r.Found[i]
		}
	}
	return nil
}

// publish writes the table and the numbers, LABEL.ATTACK.MODE.before, .after and .itself, with "_" for "-".
func publish(s *study.Session, all []Outcome) error {
	t := report.Table{
		Caption: "Share of held-out prompts that are recognised as the erased concept before and after an attack; a prompt that was recognised before counts after it too. Intervals are Wilson's, 95 %",
		Columns: []report.Column{{Name: "erasure"}, {Name: "attack"}, {Name: "mode"}, {Name: "before"}, {Name: "after"}, {Name: "itself", Doc: "the found text alone, whatever the prompt was before"}, {Name: "queries"}, {Name: "time", Unit: "s"}, {Name: "found"}},
	}
	for _, o := range all {
		if o.Why != "" {
			t.Rows = append(t.Rows, []any{o.Erasure, o.Attack, o.Mode, nil, nil, nil, nil, nil, "does not apply"})
			continue
		}
		before, err := o.Before.Interval(0.95)
		if err != nil {
			return err
		}
		after, err := o.After.Interval(0.95)
		if err != nil {
			return err
		}
		itself, err := o.Itself.Interval(0.95)
		if err != nil {
			return err
		}
		name := strings.ReplaceAll(o.Erasure+"."+o.Attack+"."+o.Mode, "-", "_")
		s.Interval(name+".before", before)
		s.Interval(name+".after", after)
		s.Interval(name+".itself", itself)
		t.Rows = append(t.Rows, []any{o.Erasure, o.Attack, o.Mode, lab.Cell(before), lab.Cell(after), lab.Cell(itself), o.Queries, o.Seconds, o.Example})
	}
	s.Text("%d outcomes; \"found\" is a text or embedding that brought the concept back to a prompt that had lost it.", len(all))
	s.Table("attacks", t)
	return nil
}
