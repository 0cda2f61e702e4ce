// Package ioi finds the circuit of indirect object identification by several methods and its name movers by exact direct effects (arXiv:2211.00593).
package ioi

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// Config says which model, prompts, methods and sizes.
type Config struct {
	study.Base
	Model     string   `json:"model" doc:"language model"`
	Start     string   `json:"start" doc:"token in front of every prompt; empty for none"`
	Prompts   int      `json:"prompts" doc:"prompts"`
	Methods   []string `json:"methods" doc:"eap, eap-ig, clean-corrupted, mask-ig; the last one's circuit is drawn"`
	Steps     int      `json:"steps" doc:"steps of the methods that integrate"`
	Sizes     []int    `json:"sizes" doc:"edges of circuits, rising"`
	Random    int      `json:"random" doc:"random circuits of the first one's size"`
	Movers    int      `json:"movers" doc:"heads of largest direct effect that are listed, on either side"`
	Published []string `json:"published" doc:"heads of the published circuit that write to the logits, as a9.h9; none for other models"`
	Circuit   []string `json:"circuit" doc:"all heads of the published circuit"`
	Budget    int64    `json:"budget_mib" doc:"memory of one pass in MiB; 0: no bound"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "ioi", Doc: "indirect object identification: methods, faithfulness, name movers by exact direct effect (arXiv:2211.00593)", New: func() any {
			return &Config{
				Base: study.Base{Name: "ioi", Seed: 1}, Model: "smollm2", Prompts: 8, Methods: []string{"eap", "eap-ig", "mask-ig"}, Steps: 4,
				Sizes: []int{1000, 6000, 25000}, Random: 2, Movers: 5, Budget: 1600,
			}
		}},
		Title: "Indirect object identification: circuits by several methods, and the heads that name",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func (c *Config) comparison() circuitlab.Comparison {
	return circuitlab.Comparison{Methods: c.Methods, Steps: c.Steps, Sizes: c.Sizes, Random: c.Random, Seed: c.Seed}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if c.Prompts < 2 || c.Movers < 1 {
		return fmt.Errorf("prompts is %d, movers %d; use 2 and 1 or more", c.Prompts, c.Movers)
	}
	return c.comparison().Validate()
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	t, err := circuitlab.NewTask(ctx, l, task.Config{Task: "ioi", N: c.Prompts, Seed: c.Seed, Templates: task.TemplatesMain, Corrupt: task.CorruptSwap, Digits: 1}, c.Start, circuits.LogitDiff(), circuits.Options{Budget: c.Budget << 20})
	if err != nil {
		return err
	}
	if err := behaviour(ctx, s, c, t); err != nil {
		return err
	}
	scores, err := circuitlab.Compare(ctx, s, t, c.comparison())
	if err != nil {
		return err
	}
	if err := movers(ctx, s, c, t, scores); err != nil {
		return err
	}
	s.Done("movers")
	mean := scores[c.Methods[len(c.Methods)-1]].Mean()
	if len(c.Circuit) > 0 {
		auc, err := circuitlab.Overlap(t.Graph, circuitlab.Strength(t.Graph, mean), c.Circuit)
		if err != nil {
			return err
		}
		s.Interval("published.circuit", auc)
		s.Text("What a head's edges carry tells the heads of the published circuit from the others with an AUROC of %s.", lab.Short(auc))
	}
	kept, _ := circuits.Prune(circuits.Greedy(t.Graph, mean, c.Sizes[0]))
	return circuitlab.Draw(s.Dir(), "circuit.html", "IOI in "+c.Model, mean, kept, nil)
}

// behaviour says how well the model does the task.
func behaviour(ctx context.Context, s *study.Session, c *Config, t *circuits.Task) error {
	clean, corrupted, right := make([]float64, t.Pairs.Rows), make([]float64, t.Pairs.Rows), 0
	for r := range clean {
		clean[r], corrupted[r] = -t.CleanLoss[r], -t.CorruptedLoss[r]
		if clean[r] > 0 {
			right++
		}
	}
	share, err := stats.Wilson(right, len(clean), lab.Level)
	if err != nil {
		return err
	}
	s.Interval("task.right", share)
	table := report.Table{Caption: fmt.Sprintf("The task: logit of who receives less that of who gives, %d prompts", t.Pairs.Rows), Columns: []report.Column{{Name: "input"}, {Name: "logit difference"}}}
	for _, part := range []struct {
		name string
		x    []float64
	}{{"clean", clean}, {"corrupted", corrupted}} {
		i, err := lab.MeanOver(ctx, part.x, lab.UpTo(len(part.x)), c.Seed)
		if err != nil {
			return err
		}
		s.Interval("task."+part.name, i)
		table.Rows = append(table.Rows, []any{part.name, lab.Cell(i)})
	}
	s.Table("task", table)
	s.Text("The clean difference is positive in %s of the prompts.", lab.Short(share))
	return nil
}

// movers measures every sender's edge to the logits exactly: path patching to the logits (Wang et al.), and holds the methods' scores of
// these edges against it.
func movers(ctx context.Context, s *study.Session, c *Config, t *circuits.Task, scores map[string]*circuits.Scores) error {
	g := t.Graph
	edges := make([]circuits.Edge, len(g.Senders))
	for u := range edges {
		edges[u] = circuits.Edge{U: u, V: len(g.Receivers) - 1}
	}
	exact, err := circuits.ExactEdges(ctx, t, edges)
	if err != nil {
		return err
	}
	mean, size := make([]float64, len(exact)), make([]float64, len(exact))
	var heads []int
	for u, rows := range exact {
		mean[u] = stat.Mean(rows, nil)
		size[u] = math.Abs(mean[u])
		if u > 0 && u%(g.Heads+1) != 0 {
			heads = append(heads, u)
		}
	}
	agree := report.Table{Caption: fmt.Sprintf("Scores of the %d edges into the logits against their exact effects", len(edges)), Columns: []report.Column{{Name: "method"}, {Name: "Spearman"}, {Name: "Pearson"}}}
	for _, m := range c.Methods {
		direct := circuitlab.Direct(scores[m])
		x := make([]float64, len(direct))
		for u, rows := range direct {
			x[u] = stat.Mean(rows, nil)
		}
		rho, err := stats.Spearman(x, mean)
		if err != nil {
			return err
		}
		s.Value("exact_"+m, rho.R)
		agree.Rows = append(agree.Rows, []any{m, rho.R, stat.Correlation(x, mean, nil)})
	}
	s.Table("exact", agree)
	slices.SortStableFunc(heads, func(a, b int) int { return cmp.Compare(mean[b], mean[a]) })
	n := min(c.Movers, len(heads)/2)
	table := report.Table{Caption: "Heads by the exact effect of corrupting their edge to the logits: name movers on top, negative ones at the bottom", Columns: []report.Column{{Name: "head"}, {Name: "direct effect"}}}
	for i, u := range append(slices.Clone(heads[:n]), heads[len(heads)-n:]...) {
		e, err := lab.MeanOver(ctx, exact[u], lab.UpTo(len(exact[u])), c.Seed)
		if err != nil {
			return err
		}
		if i == 0 {
			s.Interval("movers.first", e)
		}
		if i == 2*n-1 {
			s.Interval("movers.last", e)
		}
		table.Rows = append(table.Rows, []any{g.Senders[u], lab.Cell(e)})
	}
	s.Table("movers", table)
	if len(c.Published) > 0 {
		auc, err := circuitlab.Overlap(g, size, c.Published)
		if err != nil {
			return err
		}
		s.Interval("published.movers", auc)
		s.Text("The size of the direct effect tells the published name movers, negative ones among them, from other heads with an AUROC of %s.", lab.Short(auc))
	}
	return nil
}
