// Package induction finds the heads that continue a repetition, cuts them, and finds the circuit around them (arXiv:2209.11895).
package induction

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"loupe/circuits"
	"loupe/circuits/task"
	"loupe/internal/circuitlab"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// Config says what is repeated, how many heads are cut and how large circuits are.
type Config struct {
	study.Base
	Model     string    `json:"model" doc:"language model"`
	Rows      int       `json:"rows" doc:"rows of random tokens that are said twice"`
	Half      int       `json:"half" doc:"tokens that are said twice"`
	Heads     int       `json:"heads" doc:"heads of largest prefix-matching score that are called induction heads"`
	Cuts      []int     `json:"cuts" doc:"how many of them are cut at once, rising"`
	Draws     int       `json:"draws" doc:"sets of other heads of the same layers that are cut beside them"`
	Prompts   int       `json:"prompts" doc:"prompts of the circuit: rows of words whose beginning is said again"`
	Start     string    `json:"start" doc:"token in front of every prompt; empty for none"`
	Steps     int       `json:"steps" doc:"steps of mask-path integrated gradients"`
	Shares    []float64 `json:"shares" doc:"shares of the edges at which circuits are measured, rising; the first is the circuit that is drawn"`
	Random    int       `json:"random" doc:"random circuits of the first one's size"`
	Resamples int       `json:"resamples" doc:"resamplings of prompts for the circuit's stability"`
	Budget    int64     `json:"budget_mib" doc:"memory of one pass in MiB; 0: no bound"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "induction", Doc: "induction heads by score, by ablation, and the circuit around them (arXiv:2209.11895)", New: func() any {
			return &Config{
				Base: study.Base{Name: "induction", Seed: 1}, Model: "smollm2", Rows: 8, Half: 16, Heads: 12, Cuts: []int{1, 4, 12}, Draws: 3,
				Prompts: 8, Steps: 4, Shares: []float64{0.01, 0.05, 0.2}, Random: 3, Resamples: 50, Budget: 3000,
			}
		}},
		Title: "Induction: the heads that continue a repetition, and the circuit around them",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case c.Rows < 2 || c.Half < 4 || c.Prompts < 2 || c.Steps < 1 || c.Draws < 1 || c.Random < 1 || c.Resamples < 2:
		return fmt.Errorf("rows is %d, half %d, prompts %d, steps %d, draws %d, random %d, resamples %d; use 2, 4, 2, 1, 1, 1 and 2 or more", c.Rows, c.Half, c.Prompts, c.Steps, c.Draws, c.Random, c.Resamples)
	case len(c.Cuts) == 0 || len(c.Shares) == 0 || c.Heads < 2:
		return fmt.Errorf("cuts is %v, shares %v, heads %d; name one or more, one or more, and 2 or more", c.Cuts, c.Shares, c.Heads)
	case !slices.IsSorted(c.Cuts) || c.Cuts[0] < 1 || c.Cuts[len(c.Cuts)-1] > c.Heads:
		return fmt.Errorf("cuts is %v; use rising numbers from 1 to %d, the heads that are found", c.Cuts, c.Heads)
	case !slices.IsSorted(c.Shares) || c.Shares[0] <= 0 || c.Shares[len(c.Shares)-1] > 1:
		return fmt.Errorf("shares is %v; use rising ones in 0..1", c.Shares)
	}
	return nil
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	if n := l.Model.Spec.Layers * l.Model.Spec.Heads; c.Heads >= n {
		return fmt.Errorf("heads is %d and the model has %d; name fewer", c.Heads, n)
	}
	x := repeat(rand.New(rand.NewPCG(uint64(c.Seed), 0x696e64756374)), c.Rows, c.Half, l.Model.Spec.Vocab) // "induct"
	found, err := findHeads(ctx, s, c, l, x)
	if err != nil {
		return err
	}
	s.Done("scores")
	if err := cutHeads(ctx, s, c, l, x, found); err != nil {
		return err
	}
	s.Done("ablations")
	t, err := circuitlab.NewTask(ctx, l, task.Config{Task: "induction", N: c.Prompts, Seed: c.Seed, Templates: task.TemplatesMain, Corrupt: task.CorruptSwap, Digits: 1}, c.Start, circuits.LogitDiff(), circuits.Options{Budget: c.Budget << 20})
	if err != nil {
		return err
	}
	defer s.Done("circuit")
	return findCircuit(ctx, s, c, t, found)
}

// findHeads returns all heads, those of largest prefix-matching score first.
func findHeads(ctx context.Context, s *study.Session, c *Config, l *lab.Lab, x *repeated) ([]int, error) {
	scores, err := prefixScores(ctx, l, x)
	if err != nil {
		return nil, err
	}
	order := lab.UpTo(len(scores))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(stat.Mean(scores[b], nil), stat.Mean(scores[a], nil)) })
	t := report.Table{
		Caption: fmt.Sprintf("Heads of largest prefix-matching score: mean attention to the token after the first occurrence, %d rows of %d random tokens said twice (even attention would give about %.3f)", c.Rows, c.Half, 2/(3*float64(c.Half))),
		Columns: []report.Column{{Name: "head"}, {Name: "score"}},
	}
	for rank, h := range order[:c.Heads] {
		i, err := lab.MeanOver(ctx, scores[h], lab.UpTo(c.Rows), c.Seed)
		if err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, []any{name(l, h), lab.Cell(i)})
		if rank == 0 {
			s.Interval("score.first", i)
		}
	}
	s.Table("heads", t)
	above := 0
	for _, score := range scores {
		if stat.Mean(score, nil) >= 0.3 {
			above++
		}
	}
	s.Value("score.share_above_0.3", float64(above)/float64(len(scores)))
	s.Value("score.median", stat.Mean(scores[order[len(order)/2]], nil))
	return order, nil
}

func name(l *lab.Lab, head int) string {
	return fmt.Sprintf("a%d.h%d", head/l.Model.Spec.Heads, head%l.Model.Spec.Heads)
}

// cutHeads cuts the best heads, and as many others of the same layers, and measures the loss on the repetition.
func cutHeads(ctx context.Context, s *study.Session, c *Config, l *lab.Lab, x *repeated, found []int) error {
	a, err := newAblator(ctx, l, x)
	if err != nil {
		return err
	}
	whole, err := a.loss(ctx, nil, false)
	if err != nil {
		return err
	}
	loss, err := lab.MeanOver(ctx, whole, lab.UpTo(c.Rows), c.Seed)
	if err != nil {
		return err
	}
	s.Interval("loss.whole", loss)
	t := report.Table{
		Caption: fmt.Sprintf("Loss on the repetition, in nats a token, over the whole model's %.3f, with heads cut: induction heads, and the mean of %d sets of other heads of the same layers", loss.Value, c.Draws),
		Columns: []report.Column{{Name: "heads cut"}, {Name: "ablation"}, {Name: "induction heads"}, {Name: "other heads"}, {Name: "difference"}},
	}
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x637574)) // "cut"
	for at, n := range c.Cuts {
		key := map[int]string{len(c.Cuts) - 1: "most", 0: "first"}[at]
		var sets [][]int
		for range c.Draws {
			sets = append(sets, others(rng, found[:n], found[:c.Heads], l.Model.Spec.Heads))
		}
		for _, ablation := range []circuits.Ablation{circuits.Mean, circuits.Zero} {
			cut, err := a.loss(ctx, found[:n], ablation == circuits.Zero)
			if err != nil {
				return err
			}
			rise, control := lab.Minus(cut, whole), make([]float64, c.Rows)
			for _, set := range sets {
				got, err := a.loss(ctx, set, ablation == circuits.Zero)
				if err != nil {
					return err
				}
				for r, v := range lab.Minus(got, whole) {
					control[r] += v / float64(c.Draws)
				}
			}
			row := []any{n, string(ablation)}
			for _, part := range []struct {
				name string
				x    []float64
			}{{"rise", rise}, {"control", control}, {"difference", lab.Minus(rise, control)}} {
				i, err := lab.MeanOver(ctx, part.x, lab.UpTo(c.Rows), c.Seed)
				if err != nil {
					return err
				}
				if key != "" {
					s.Interval(fmt.Sprintf("cut.%s.%s_%s", ablation, part.name, key), i)
				}
				row = append(row, lab.Cell(i))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	s.Table("ablations", t)
	return nil
}

// others draws, for each of cut, another head of its layer that is not among found; a layer in which none is left gives none.
func others(r *rand.Rand, cut, found []int, heads int) (out []int) {
	for _, h := range cut {
		free := func(candidate int) bool {
			return !slices.Contains(found, candidate) && !slices.Contains(out, candidate)
		}
		var choice []int
		for i := range heads {
			if candidate := h/heads*heads + i; free(candidate) {
				choice = append(choice, candidate)
			}
		}
		if len(choice) > 0 {
			out = append(out, choice[r.IntN(len(choice))])
		}
	}
	return out
}

// findCircuit scores edges on prompts of words, and holds the circuit against random ones and the heads that were found.
func findCircuit(ctx context.Context, s *study.Session, c *Config, t *circuits.Task, found []int) error {
	scores, err := circuits.MaskIG(ctx, t, c.Steps)
	if err != nil {
		return err
	}
	g, mean := t.Graph, scores.Mean()
	change := stat.Mean(t.CorruptedLoss, nil) - stat.Mean(t.CleanLoss, nil)
	s.Value("sum.error", scores.Sum()/change-1)
	s.Text("%d prompts: the logit difference is %.3f, and %.3f on the corrupted prompts; the edges' scores add up to %.3f of the change of %.3f.", t.Pairs.Rows, -stat.Mean(t.CleanLoss, nil), -stat.Mean(t.CorruptedLoss, nil), scores.Sum(), change)
	edges := len(g.Edges())
	list := make([]*circuits.Circuit, 0, len(c.Shares)+c.Random)
	for _, share := range c.Shares {
		kept, _ := circuits.Prune(circuits.Greedy(g, mean, max(1, int(share*float64(edges)))))
		list = append(list, kept)
	}
	if list[0].Len() == 0 {
		return fmt.Errorf("shares begin at %v: nothing is left of a circuit of that size after pruning; raise it", c.Shares[0])
	}
	first := list[0]
	fits, err := circuitlab.Fits(ctx, t, circuits.Patching, c.Seed, append(list, circuits.RandomCircuits(g, first.Len(), c.Random, uint64(c.Seed))...)...)
	if err != nil {
		return err
	}
	table := report.Table{
		Caption: fmt.Sprintf("Faithfulness of circuits of the largest edges by mask-path integrated gradients of %d steps, of %d edges, cut edges carrying the corrupted run; %d prompts", c.Steps, edges, t.Pairs.Rows),
		Columns: []report.Column{{Name: "circuit"}, {Name: "edges"}, {Name: "faithfulness"}},
	}
	best := 0.0
	for i, f := range fits {
		label := fmt.Sprintf("random %d", i-len(c.Shares)+1)
		if i < len(c.Shares) {
			label = fmt.Sprintf("largest %v", c.Shares[i])
			s.Interval(fmt.Sprintf("circuit.f_%v", c.Shares[i]), f.F)
		} else {
			best = max(best, f.F.Value)
		}
		table.Rows = append(table.Rows, []any{label, f.Edges, lab.Cell(f.F)})
	}
	s.Value("circuit.random", best)
	s.Table("faithfulness", table)
	boot, err := circuits.NewBootstrap(scores, circuits.TopN, first.Len(), c.Resamples, uint64(c.Seed))
	if err != nil {
		return err
	}
	s.Value("stability", boot.Pairwise)
	m, err := circuits.MeasureGraph(first)
	if err != nil {
		return err
	}
	s.Table("graph", report.Table{
		Caption: "The first circuit as a graph", Columns: []report.Column{{Name: "measure"}, {Name: "value"}},
		Rows: [][]any{{"edges", first.Len()}, {"nodes", len(m.Nodes)}, {"density", m.Density}, {"mean degree", m.MeanDegree}, {"largest core", slices.Max(m.Core)}, {"clustering", m.Clustering}, {"longest path", m.LongestPath}, {"robustness", m.Robustness}, {"Jaccard between bootstrap circuits", boot.Pairwise}},
	})
	if err := headsInCircuit(ctx, s, c, scores, found); err != nil {
		return err
	}
	s.Text("The circuit is drawn in circuit.html.")
	return circuitlab.Draw(s.Dir(), "circuit.html", "Induction in "+c.Model, mean, first, boot.Inclusion)
}

// headsInCircuit asks whether the heads that were found on random tokens carry the circuit of words.
func headsInCircuit(ctx context.Context, s *study.Session, c *Config, scores *circuits.Scores, found []int) error {
	g := scores.Graph
	strength, direct := circuitlab.Strength(g, scores.Mean()), circuitlab.Direct(scores)
	carried, isFound := make([]float64, len(found)), make([]bool, len(found))
	for i, h := range found {
		carried[i], isFound[i] = strength[circuitlab.Head(g, h/g.Heads, h%g.Heads)], i < c.Heads
	}
	auc, err := stats.AUCNewcombe(carried, isFound, lab.Level)
	if err != nil {
		return err
	}
	s.Interval("heads.auc", auc)
	part := func(heads []int) (stats.Interval, error) {
		sum := make([]float64, scores.Rows)
		for _, h := range heads {
			for r, v := range direct[circuitlab.Head(g, h/g.Heads, h%g.Heads)] {
				sum[r] += v / float64(len(heads))
			}
		}
		return lab.MeanOver(ctx, sum, lab.UpTo(scores.Rows), c.Seed)
	}
	of, err := part(found[:c.Heads])
	if err != nil {
		return err
	}
	rest, err := part(found[c.Heads:])
	if err != nil {
		return err
	}
	s.Interval("heads.direct", of)
	s.Interval("heads.direct_others", rest)
	s.Table("roles", report.Table{
		Caption: fmt.Sprintf("The %d induction heads of random tokens in the circuit of words", c.Heads), Columns: []report.Column{{Name: "measure"}, {Name: "value"}},
		Rows: [][]any{{"AUROC of what a head's edges carry", lab.Cell(auc)}, {"copying: direct effect on the logit difference, mean of these heads", lab.Cell(of)}, {"the same, other heads", lab.Cell(rest)}},
	})
	return nil
}
