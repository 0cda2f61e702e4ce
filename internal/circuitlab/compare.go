package circuitlab

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"loupe/circuits"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// Methods lists the names that Score takes.
var Methods = []string{"eap", "eap-ig", "clean-corrupted", "mask-ig"}

// Score scores edges by a method of Methods; steps is for those that integrate.
func Score(ctx context.Context, t *circuits.Task, method string, steps int) (*circuits.Scores, error) {
	switch method {
	case "eap":
		return circuits.EAP(ctx, t)
	case "eap-ig":
		return circuits.EAPIGInputs(ctx, t, steps)
	case "clean-corrupted":
		return circuits.CleanCorrupted(ctx, t)
	case "mask-ig":
		return circuits.MaskIG(ctx, t, steps)
	}
	return nil, fmt.Errorf("method %q is none of %v", method, Methods)
}

// Comparison is what Compare asks.
type Comparison struct {
	Methods []string
	Steps   int
	Sizes   []int // edges that are asked for, before pruning
	Random  int   // random circuits of the first method's first circuit
	Seed    int64
}

// Validate checks what does not depend on the model.
func (c Comparison) Validate() error {
	for _, m := range c.Methods {
		if !slices.Contains(Methods, m) {
			return fmt.Errorf("method %q is none of %v", m, Methods)
		}
	}
	if len(c.Methods) == 0 || len(c.Sizes) == 0 || !slices.IsSorted(c.Sizes) || c.Sizes[0] < 1 || c.Steps < 1 || c.Random < 1 {
		return fmt.Errorf("methods is %v, sizes %v, steps %d, random %d; name one or more methods and rising sizes, 1 or more steps and random circuits", c.Methods, c.Sizes, c.Steps, c.Random)
	}
	return nil
}

// Compare scores a task's edges by each method and measures the greedy circuits of each size by the loss with all other edges
// corrupted. It reports f_<method>_<size>, sum_<method> (the scores' sum as a share of the true change) and random (the largest f of a
// random circuit), and returns the scores by method.
func Compare(ctx context.Context, s *study.Session, t *circuits.Task, c Comparison) (map[string]*circuits.Scores, error) {
	scores := map[string]*circuits.Scores{}
	var list []*circuits.Circuit
	change := stat.Mean(t.CorruptedLoss, nil) - stat.Mean(t.CleanLoss, nil)
	sums := report.Table{Caption: fmt.Sprintf("What each method's scores add up to; the loss truly changes by %.4g", change), Columns: []report.Column{{Name: "method"}, {Name: "sum"}, {Name: "share of the change"}}}
	for _, m := range c.Methods {
		got, err := Score(ctx, t, m, c.Steps)
		if err != nil {
			return nil, err
		}
		scores[m] = got
		sums.Rows = append(sums.Rows, []any{m, got.Sum(), got.Sum() / change})
		s.Value("sum_"+m, got.Sum()/change)
		for _, n := range c.Sizes {
			kept, _ := circuits.Prune(circuits.Greedy(t.Graph, got.Mean(), n))
			list = append(list, kept)
		}
	}
	s.Table("sums", sums)
	s.Done("scores")
	fits, err := Fits(ctx, t, circuits.Patching, c.Seed, append(list, circuits.RandomCircuits(t.Graph, max(1, list[0].Len()), c.Random, uint64(c.Seed))...)...)
	if err != nil {
		return nil, err
	}
	table := report.Table{
		Caption: fmt.Sprintf("Faithfulness of the largest edges of %d, the others carrying the corrupted run; %d prompts, %d steps", len(t.Graph.Edges()), t.Pairs.Rows, c.Steps),
		Columns: []report.Column{{Name: "method"}, {Name: "asked for"}, {Name: "edges"}, {Name: "mean loss"}, {Name: "faithfulness"}},
	}
	random := math.Inf(-1)
	for i, f := range fits {
		row := []any{"random", nil, f.Edges, stat.Mean(f.Loss, nil), lab.Cell(f.F)}
		if i < len(list) {
			m, n := c.Methods[i/len(c.Sizes)], c.Sizes[i%len(c.Sizes)]
			row[0], row[1] = m, n
			s.Interval(fmt.Sprintf("f_%s_%d", m, n), f.F)
		} else {
			random = max(random, f.F.Value)
		}
		table.Rows = append(table.Rows, row)
	}
	s.Value("random", random)
	s.Table("faithfulness", table)
	if err := differences(ctx, s, t, c, fits); err != nil {
		return nil, err
	}
	s.Done("faithfulness")
	return scores, nil
}

// differences compares each method with the first at the same size, prompt by prompt: the loss that the first one's circuit has over it.
func differences(ctx context.Context, s *study.Session, t *circuits.Task, c Comparison, fits []Fit) error {
	table := report.Table{Caption: fmt.Sprintf("Loss of the circuit of %s less that of the other method at the same size, prompt by prompt: above 0 the other is better", c.Methods[0]), Columns: []report.Column{{Name: "method"}, {Name: "asked for"}, {Name: "difference"}}}
	for k, m := range c.Methods[1:] {
		for i, n := range c.Sizes {
			d, err := lab.MeanOver(ctx, lab.Minus(fits[i].Loss, fits[(k+1)*len(c.Sizes)+i].Loss), lab.UpTo(t.Pairs.Rows), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(fmt.Sprintf("gain_%s_%d", m, n), d)
			table.Rows = append(table.Rows, []any{m, n, lab.Cell(d)})
		}
	}
	if len(table.Rows) > 0 {
		s.Table("differences", table)
	}
	return nil
}

// Overlap says how well senders' scores tell a published list of heads from the other heads: the AUROC with its interval over heads,
// against one half. An error where the model does not have one of the heads.
func Overlap(g *circuits.EdgeGraph, scores []float64, heads []string) (stats.Interval, error) {
	var x []float64
	var in []bool
	for _, name := range heads {
		if u, err := g.Sender(name); err != nil || u == 0 || u%(g.Heads+1) == 0 {
			return stats.Interval{}, fmt.Errorf("published head %q is no head of a model of %d blocks of %d heads", name, g.Layers, g.Heads)
		}
	}
	for layer := range g.Layers {
		for h := range g.Heads {
			u := Head(g, layer, h)
			x, in = append(x, scores[u]), append(in, slices.Contains(heads, g.Senders[u]))
		}
	}
	return stats.AUCNewcombe(x, in, lab.Level)
}
