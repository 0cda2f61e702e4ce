package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/circuits"
	"loupe/circuits/table"
	"loupe/internal/lab"
	"loupe/internal/stats"
)

// evaluateFlags are the flags of `loupe circuits evaluate`.
type evaluateFlags struct {
	circuitFlags
	ablations []string
	selection string
	cuts      int
	minimal   bool
}

// evaluation is a circuit under one ablation.
type evaluation struct {
	Ablation circuits.Ablation `json:"ablation"`
	F        stats.Interval    `json:"faithfulness"` // of the circuit
	// Curve is of the selections by the file's scores; nil where it has none.
	Curve        *circuits.Faithfulness  `json:"curve,omitempty"`
	CPR          *stats.Interval         `json:"cpr,omitempty"`
	CMD          *stats.Interval         `json:"cmd,omitempty"`
	Completeness []circuits.Completeness `json:"completeness,omitempty"`
	Minimality   []nodeEffect            `json:"minimality,omitempty"`
}

// nodeEffect is what the circuit loses with a node.
type nodeEffect struct {
	Node   string  `json:"node"`
	Change float64 `json:"change"`
}

// evaluateReport is what `loupe circuits evaluate` prints.
type evaluateReport struct {
	table.Provenance
	File    string       `json:"file"`
	Edges   int          `json:"edges"`
	Results []evaluation `json:"results"`
}

// Print implements [outcome].
func (r *evaluateReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t%d edges, on %s of %s: %d prompts of %d tokens, %s\n", r.File, r.Edges, r.Task, r.Model, r.Rows, r.Seq, r.Metric)
	for _, e := range r.Results {
		fmt.Fprintf(w, "\nablation\t%s\nfaithfulness\t%s\n", e.Ablation, lab.Short(e.F))
		if e.Curve != nil {
			fmt.Fprintf(w, "CPR\t%s\nCMD\t%s\n\nSHARE\tedges\tkept\tnodes\tloss\tfaithfulness\n", lab.Short(*e.CPR), lab.Short(*e.CMD))
			for _, p := range e.Curve.Points {
				fmt.Fprintf(w, "%.1f %%\t%d\t%d\t%d\t%.4f\t%.4f\n", 100*p.Share, p.Requested, p.Kept, p.Nodes, p.Loss, p.F)
			}
		}
		if len(e.Completeness) > 0 {
			fmt.Fprintf(w, "\nNODES CUT\tcircuit\tmodel\tincompleteness\n")
			for _, c := range e.Completeness {
				fmt.Fprintf(w, "%v\t%.4f\t%.4f\t%.4f\n", c.Cut, c.Circuit, c.Model, c.Incompleteness)
			}
		}
		if len(e.Minimality) > 0 {
			fmt.Fprintf(w, "\nNODE\tthe circuit loses with it\n")
			for _, n := range e.Minimality {
				fmt.Fprintf(w, "%s\t%.4f\n", n.Node, n.Change)
			}
		}
	}
	return w.Flush()
}

func newCircuitsEvaluateCmd(a *app) *cobra.Command {
	f := evaluateFlags{circuitFlags: newCircuitFlags()}
	cmd := &cobra.Command{
		Use:   "evaluate FILE MODEL",
		Short: "Judge a circuit: faithfulness by size and ablation, completeness, minimality",
		Long: `Measure the circuit of FILE on a task, which may be other prompts than those it was found on: its faithfulness under each --ablation, the curve over
the sizes of MIB by the file's scores with CPR and CMD, what is missed when nodes are cut from circuit and model (completeness, by random halves of
the circuit's nodes), and what the circuit loses with each of its nodes (minimality). Intervals are of 95 %, over prompts.

` + circuitFileHelp,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range f.ablations {
				if err := checkAblation(name); err != nil {
					return err
				}
			}
			if f.selection != selectGreedy && f.selection != selectTopN {
				return usagef("--select %q: use greedy or top-n", f.selection)
			}
			if f.cuts < 0 {
				return usagef("--cuts %d: a number of sets of nodes", f.cuts)
			}
			return f.run(cmd.Context(), a, args[0], args[1])
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.ablations, "ablation", []string{string(circuits.Patching)}, fmt.Sprintf("what cut senders write, one or more of %v", circuits.Ablations))
	flags.StringVar(&f.selection, "select", selectGreedy, "selection of the curve: greedy or top-n")
	flags.IntVar(&f.cuts, "cuts", 5, "random halves of the circuit's nodes that completeness cuts; 0: none")
	flags.BoolVar(&f.minimal, "minimality", true, "measure the circuit without each of its nodes")
	return cmd
}

func (f *evaluateFlags) run(ctx context.Context, a *app, path, ref string) (err error) {
	c, err := readCircuit(path)
	if err != nil {
		return err
	}
	if c.Of().Len() == 0 {
		return fmt.Errorf("%s keeps no edge; choose edges with `loupe circuits discover`", path)
	}
	r, err := f.open(ctx, a, ref)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if f.dry {
		return a.printOutcome(r.planned())
	}
	if err := r.fits(path, c); err != nil {
		return err
	}
	p := &evaluateReport{Provenance: r.provenance(&f.circuitFlags, &circuits.Scores{Method: c.Method}), File: path, Edges: c.Of().Len()}
	p.Selection, p.Ablation = c.Selection, fmt.Sprint(f.ablations)
	for _, name := range f.ablations {
		e, err := f.evaluate(ctx, r, c, circuits.Ablation(name))
		if err != nil {
			return err
		}
		p.Results = append(p.Results, *e)
	}
	return a.printOutcome(p)
}

// evaluate measures the circuit under one ablation.
func (f *evaluateFlags) evaluate(ctx context.Context, r *circuitRun, c *table.Circuit, kind circuits.Ablation) (*evaluation, error) {
	cut, err := r.Reference(ctx, kind, uint64(f.seed))
	if err != nil {
		return nil, err
	}
	losses, err := r.Evaluate(ctx, cut, circuits.NewCircuit(c.Graph), c.Of())
	if err != nil {
		return nil, err
	}
	empty, full := losses[0], r.Task.CleanLoss
	if math.Abs(meanOf(full)-meanOf(empty)) < 1e-9 {
		return nil, fmt.Errorf("%s: the metric is the same with all edges and with none, so no circuit can explain it; choose other pairs, another --metric or --ablation", kind)
	}
	cfg := lab.Bootstrap(f.seed)
	over := func(s stats.Statistic) (stats.Interval, error) {
		if r.Pairs.Rows < 2 {
			v := s([]int{0})
			return stats.Interval{Value: v, Low: v, High: v, N: 1}, nil
		}
		b, err := stats.Bootstrap(ctx, r.Pairs.Rows, s, cfg)
		return b.Interval, err
	}
	share := func(loss []float64, rows []int) float64 {
		none := meanOf(lab.Take(empty, rows))
		return (meanOf(lab.Take(loss, rows)) - none) / (meanOf(lab.Take(full, rows)) - none)
	}
	e := &evaluation{Ablation: kind}
	if e.F, err = over(func(rows []int) float64 { return share(losses[1], rows) }); err != nil {
		return nil, err
	}
	if err := f.curve(ctx, r, c, cut, e, over, share); err != nil {
		return nil, err
	}
	pruned, senders := circuits.Prune(c.Of())
	if cuts := halves(senders, f.cuts, uint64(f.seed)); len(cuts) > 0 {
		if e.Completeness, err = circuits.MeasureCompleteness(ctx, r.Task, cut, pruned, cuts); err != nil {
			return nil, err
		}
	}
	if f.minimal && len(senders) > 0 {
		changes, err := circuits.MeasureMinimality(ctx, r.Task, cut, pruned, senders)
		if err != nil {
			return nil, err
		}
		for i, u := range senders {
			e.Minimality = append(e.Minimality, nodeEffect{c.Graph.Senders[u], changes[i]})
		}
	}
	return e, nil
}

// curve measures the selections by the file's scores, if it has any.
func (f *evaluateFlags) curve(ctx context.Context, r *circuitRun, c *table.Circuit, cut *circuits.Reference, e *evaluation, over func(stats.Statistic) (stats.Interval, error), share func(loss []float64, rows []int) float64) error {
	if largest(c.Scores) == 0 {
		return nil
	}
	pick := circuits.Selector(circuits.Greedy)
	if f.selection == selectTopN {
		pick = circuits.TopN
	}
	var err error
	if e.Curve, err = circuits.MeasureFaithfulness(ctx, r.Task, cut, c.Scores, pick, circuits.Percentages); err != nil {
		return err
	}
	area := func(of func(f float64) float64) (*stats.Interval, error) {
		i, err := over(func(rows []int) float64 {
			var sum, before float64
			for k, p := range e.Curve.Points {
				v := of(share(p.LossPerRow, rows))
				if k > 0 {
					sum += (p.Share - e.Curve.Points[k-1].Share) * (v + before) / 2
				}
				before = v
			}
			return sum
		})
		return &i, err
	}
	if e.CPR, err = area(func(f float64) float64 { return f }); err != nil {
		return err
	}
	e.CMD, err = area(func(f float64) float64 { return math.Abs(1 - f) })
	return err
}

// halves draws n sets of half of the senders, the input left out.
func halves(senders []int, n int, seed uint64) [][]int {
	var nodes []int
	for _, u := range senders {
		if u > 0 {
			nodes = append(nodes, u)
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, 0x63757473))
	out := make([][]int, n)
	for i := range out {
		for _, at := range r.Perm(len(nodes))[:(len(nodes)+1)/2] {
			out[i] = append(out[i], nodes[at])
		}
	}
	return out
}
