// Package greaterthan looks for the circuit by which a language model ends a span of years after its start (arXiv:2305.00586), and asks which way
// of scoring edges finds the more faithful one at the published number of edges (arXiv:2403.17806).
package greaterthan

import (
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/circuits"
	"loupe/circuits/task"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says which model is asked what, and how circuits are found.
type Config struct {
	study.Base
	Model  string `json:"model" doc:"decoder that normalises before each block"`
	Start  string `json:"start" doc:"token in front of every prompt where the tokenizer adds none; empty: none"`
	Digits int    `json:"digits" doc:"digits of a token of the tokenizer: 1 asks for the decade, 2 for the year"`
	N      int    `json:"n" doc:"prompts"`
	Steps  int    `json:"steps" doc:"of EAP-IG"`
	Sizes  []int  `json:"sizes" doc:"edges that are asked for; those of nodes that nothing enters or leaves are pruned"`
	Random int    `json:"random" doc:"random circuits of each size of the first method"`
	Budget int64  `json:"budget_mib" doc:"memory of one pass"`
	Top    int    `json:"top" doc:"units that are shown"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "greater-than", Doc: "the circuit of years that come after a year: EAP, EAP-IG and clean-corrupted at equal sizes (arXiv:2305.00586)", New: newConfig},
		Title: "Greater-than: how years after a year are told",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{Base: study.Base{Name: "greater-than", Seed: 1}, Model: "smollm2", Digits: 1, N: 8, Steps: 5, Sizes: []int{200, 800, 3200}, Random: 2, Budget: 3000, Top: 10}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if c.Digits < 1 || c.Digits > 2 || c.N < 2 || c.Steps < 1 || len(c.Sizes) == 0 || c.Random < 1 || c.Top < 1 {
		return fmt.Errorf("digits %d, n %d, steps %d, sizes %v, random %d, top %d: use 1 or 2 digits, two prompts or more, and at least one of the rest", c.Digits, c.N, c.Steps, c.Sizes, c.Random, c.Top)
	}
	if !slices.IsSorted(c.Sizes) || c.Sizes[0] < 1 {
		return fmt.Errorf("sizes %v must rise from 1 or more", c.Sizes)
	}
	return nil
}

// methods score edges, those of the published comparison.
var methods = []struct {
	key, name string
	run       func(ctx context.Context, t *circuits.Task, steps int) (*circuits.Scores, error)
}{
	{"eap_ig", "EAP-IG over inputs", circuits.EAPIGInputs},
	{"clean_corrupted", "clean-corrupted", func(ctx context.Context, t *circuits.Task, _ int) (*circuits.Scores, error) {
		return circuits.CleanCorrupted(ctx, t)
	}},
	{"eap", "EAP", func(ctx context.Context, t *circuits.Task, _ int) (*circuits.Scores, error) {
		return circuits.EAP(ctx, t)
	}},
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	t, err := bind(ctx, s, c)
	if err != nil {
		return err
	}
	clean, corrupted := lab.Minus(make([]float64, t.Pairs.Rows), t.CleanLoss), lab.Minus(make([]float64, t.Pairs.Rows), t.CorruptedLoss)
	for _, x := range []struct {
		name string
		rows []float64
	}{{"clean", clean}, {"corrupted", corrupted}} {
		i, err := lab.MeanOver(ctx, x.rows, lab.UpTo(len(x.rows)), c.Seed)
		if err != nil {
			return err
		}
		s.Interval("prob_diff."+x.name, i)
		s.Text("Probability of right continuations less that of wrong ones, %s prompts: %s.", x.name, lab.Short(i))
	}
	if err := compare(ctx, s, c, t); err != nil {
		return err
	}
	return units(ctx, s, c, t)
}

// bind generates the prompts and runs the model on them.
func bind(ctx context.Context, s *study.Session, c *Config) (*circuits.Task, error) {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return nil, err
	}
	cfg := task.DefaultConfig()
	cfg.Task, cfg.N, cfg.Seed, cfg.Digits = "greater-than", c.N, c.Seed, c.Digits
	prompts, err := task.Generate(cfg)
	if err != nil {
		return nil, err
	}
	var align task.AlignConfig
	if c.Start != "" {
		id, ok := l.Tokenizer.ID(c.Start)
		if !ok {
			return nil, fmt.Errorf("start %q is no token of %s", c.Start, c.Model)
		}
		align.Start = &id
	}
	examples, rejected, err := task.Align(l.Tokenizer, prompts, align)
	if err != nil {
		return nil, err
	}
	s.Text("%d prompts such as %q; %d more could not be aligned.", len(examples), examples[0].Clean, len(rejected))
	pairs, err := circuits.PairsOf(examples)
	if err != nil {
		return nil, err
	}
	return circuits.NewTask(ctx, l.Engine, l.Model, pairs, circuits.ProbDiff(), circuits.Options{Budget: c.Budget << 20})
}

// compare measures the circuits of each method at each size, by cutting all other edges.
func compare(ctx context.Context, s *study.Session, c *Config, t *circuits.Task) error {
	ref, err := t.Reference(ctx, circuits.Patching, 0)
	if err != nil {
		return err
	}
	all := len(t.Graph.Edges())
	var shares []float64
	for _, n := range c.Sizes {
		if n > all {
			return fmt.Errorf("size %d: the model has %d edges", n, all)
		}
		shares = append(shares, min((float64(n)+0.5)/float64(all), 1))
	}
	table := report.Table{
		Caption: fmt.Sprintf("faithfulness of the largest edges by each method, pruned, of %d; cut edges carry the run that starts in year 01; intervals over %d prompts", all, t.Pairs.Rows),
		Columns: []report.Column{{Name: "method"}, {Name: "asked for"}, {Name: "edges"}, {Name: "nodes"}, {Name: "faithfulness"}, {Name: "random circuits"}},
	}
	for k, m := range methods {
		scores, err := m.run(ctx, t, c.Steps)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		curve, err := circuits.MeasureFaithfulness(ctx, t, ref, scores.Mean(), circuits.TopN, shares)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		intervals, err := curve.Intervals(ctx, lab.Bootstrap(c.Seed))
		if err != nil {
			return err
		}
		for i, p := range curve.Points {
			s.Interval(fmt.Sprintf("%s.f_%d", m.key, c.Sizes[i]), intervals.F[i])
			row := []any{m.name, c.Sizes[i], p.Kept, p.Nodes, lab.Cell(intervals.F[i]), nil}
			if k == 0 && p.Kept > 0 {
				random, err := t.Evaluate(ctx, ref, circuits.RandomCircuits(t.Graph, p.Kept, c.Random, uint64(c.Seed))...)
				if err != nil {
					return err
				}
				best := math.Inf(-1)
				for _, rows := range random {
					best = max(best, (average(rows)-curve.Empty)/(curve.Full-curve.Empty))
				}
				s.Value(fmt.Sprintf("random.f_%d", c.Sizes[i]), best)
				row[len(row)-1] = best
			}
			table.Rows = append(table.Rows, row)
		}
		s.Done(m.name)
	}
	s.Table("methods", table)
	return nil
}

// units patches every head and MLP by what it writes on the corrupted prompts: what each costs by itself.
func units(ctx context.Context, s *study.Session, c *Config, t *circuits.Task) error {
	effects, err := circuits.PatchUnits(ctx, t, circuits.Noise)
	if err != nil {
		return err
	}
	type unit struct {
		name string
		rows []float64
	}
	var all []unit
	g, rows := t.Graph, t.Pairs.Rows
	for layer := range g.Layers {
		for head := range g.Heads {
			u := unit{name: fmt.Sprintf("a%d.h%d", layer, head)}
			for r := range rows {
				u.rows = append(u.rows, effects.Heads[(r*g.Layers+layer)*g.Heads+head]-t.CleanLoss[r])
			}
			all = append(all, u)
		}
		u := unit{name: fmt.Sprintf("m%d", layer)}
		for r := range rows {
			u.rows = append(u.rows, effects.MLPs[r*g.Layers+layer]-t.CleanLoss[r])
		}
		all = append(all, u)
	}
	slices.SortStableFunc(all, func(x, y unit) int {
		switch a, b := average(x.rows), average(y.rows); {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	table := report.Table{Caption: "what is lost of the probability difference when a unit writes what it writes after year 01", Columns: []report.Column{{Name: "unit"}, {Name: "loss"}}}
	mlps := 0
	for _, u := range all[:min(c.Top, len(all))] {
		i, err := lab.MeanOver(ctx, u.rows, lab.UpTo(rows), c.Seed)
		if err != nil {
			return err
		}
		if u.name[0] == 'm' {
			mlps++
		}
		table.Rows = append(table.Rows, []any{u.name, lab.Cell(i)})
	}
	s.Value("units.mlps", float64(mlps))
	s.Table("units", table)
	s.Done("units")
	return nil
}

func average(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
