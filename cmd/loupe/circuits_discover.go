package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/circuits"
	"loupe/circuits/table"
)

// discoverFlags are the flags of `loupe circuits discover`.
type discoverFlags struct {
	circuitFlags
	attributeFlags
	scores       string
	selection    string
	edges        int
	faithfulness float64
	threshold    float64
	ablation     string
	resamples    int
	random       int
	out          string
	top          int
}

// methodACDC is the method that selects as it scores.
const methodACDC = "acdc"

// The values of --select.
const (
	selectGreedy    = "greedy"
	selectTopN      = "top-n"
	selectThreshold = "threshold"
)

// selector is the rule of --select.
func (f *discoverFlags) selector() circuits.Selector {
	if f.selection == selectGreedy {
		return circuits.Greedy
	}
	return circuits.TopN
}

func (f *discoverFlags) check() error {
	rules := 0
	for _, given := range []bool{f.edges > 0, f.faithfulness > 0, f.threshold > 0} {
		if given {
			rules++
		}
	}
	switch {
	case !slices.Contains([]string{selectGreedy, selectTopN, selectThreshold}, f.selection):
		return usagef("--select %q: use greedy, top-n or threshold", f.selection)
	case f.edges < 0 || f.threshold < 0 || f.faithfulness < 0 || f.faithfulness > 1:
		return usagef("--edges %d, --threshold %g, --faithfulness %g: positive numbers, the last at most 1", f.edges, f.threshold, f.faithfulness)
	case f.method == methodACDC && (f.scores != "" || rules != 1 || f.threshold == 0):
		return usagef("--method acdc takes --threshold TAU, the most that removing an edge may add to the loss, and neither --scores, --edges nor --faithfulness")
	case f.method != methodACDC && f.selection == selectThreshold && (rules != 1 || f.threshold == 0):
		return usagef("--select threshold takes --threshold TAU alone")
	case f.method != methodACDC && f.selection != selectThreshold && (rules != 1 || f.threshold > 0):
		return usagef("say how large the circuit is: --edges N, or --faithfulness F for the smallest that reaches it; --threshold goes with --select threshold or --method acdc")
	case f.resamples < 0 || f.resamples == 1 || f.random < 0:
		return usagef("--resamples %d, --random %d: none, or at least 2 resamples and 1 random circuit", f.resamples, f.random)
	}
	return checkAblation(f.ablation)
}

func checkAblation(name string) error {
	if !slices.Contains(circuits.Ablations, circuits.Ablation(name)) {
		return usagef("--ablation %q: use one of %v", name, circuits.Ablations)
	}
	return nil
}

// discoverReport is what `loupe circuits discover` prints.
type discoverReport struct {
	table.Provenance
	Asked     int                `json:"asked,omitempty"` // edges before pruning
	Edges     int                `json:"edges"`
	Nodes     []string           `json:"nodes"`
	Fit       circuits.Fit       `json:"fit"`
	Controls  *circuits.Controls `json:"controls,omitempty"`
	Resamples int                `json:"resamples,omitempty"`
	WithFull  float64            `json:"jaccard_with_full,omitempty"`
	Unstable  bool               `json:"unstable"`
	Sum       float64            `json:"sum"`
	Top       []edgeScore        `json:"top"`
	Out       string             `json:"out,omitempty"`
}

// Print implements [outcome].
func (r *discoverReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "task\t%s on %s: %d prompts of %d tokens\n", r.Task, r.Model, r.Rows, r.Seq)
	fmt.Fprintf(w, "loss\t%.4f clean, %.4f corrupted (%s)\n", r.CleanLoss, r.Corrupted, r.Metric)
	if r.Method != methodACDC {
		fmt.Fprintf(w, "scores\t%s; sum %.4f, true change %.4f%s\n", r.Method, r.Sum, r.Corrupted-r.CleanLoss, addsUp(r.Sum, r.Corrupted-r.CleanLoss))
	}
	printCertificate(w, r.Certificate)
	fmt.Fprintf(w, "circuit\t%d edges between %d nodes (%s)\n", r.Edges, len(r.Nodes)+1, r.Selection)
	fmt.Fprintf(w, "faithfulness\t%.4f: loss %.4f, %.4f with all edges, %.4f with none (%s)\n", r.Fit.F, r.Fit.Loss, r.Fit.Full, r.Fit.Empty, r.Ablation)
	if r.Faithful != nil {
		fmt.Fprintf(w, "by size\tCPR %.4f, CMD %.4f\n", r.Faithful.CPR, r.Faithful.CMD)
	}
	if r.Controls != nil {
		fmt.Fprintf(w, "random circuits\t%.4f mean faithfulness of %d of as many edges, p = %.2g\n", r.Controls.RandomMean, len(r.Controls.Random), r.Controls.RandomP)
	}
	if r.Resamples > 0 {
		verdict := "stable"
		if r.Unstable {
			verdict = fmt.Sprintf("UNSTABLE: under %g; give more prompts, or ask for another size", circuits.StableJaccard)
		}
		fmt.Fprintf(w, "resampled prompts\tmean Jaccard index %.4f between circuits, %.4f with this one, of %d: %s\n", r.Stability, r.WithFull, r.Resamples, verdict)
	}
	if r.Out != "" {
		fmt.Fprintf(w, "table\t%s\n", r.Out)
	}
	fmt.Fprintf(w, "\nEDGE\tscore\tstandard error\n")
	for _, e := range r.Top {
		fmt.Fprintf(w, "%s\t%.4f\t%.4f\n", e.Edge, e.Score, e.StdErr)
	}
	return w.Flush()
}

func newCircuitsDiscoverCmd(a *app) *cobra.Command {
	f := discoverFlags{circuitFlags: newCircuitFlags()}
	cmd := &cobra.Command{
		Use:   "discover MODEL",
		Short: "Find a circuit: score, select, prune, and judge beside random circuits",
		Long: `Score every edge (or read the scores of --scores, or run --method acdc), select edges by --select, drop what lies on no path from the input to the
logits, and measure how much of the behaviour the circuit carries: its faithfulness under --ablation, beside random circuits of as many edges, and
the Jaccard index between circuits of resampled prompts; under 0.8 the circuit is called unstable. --faithfulness F looks for the smallest circuit
that reaches F: between the sizes of MIB, by bisection.

MODEL is a decoder that normalises before each block: ` + refHelp[len("REF is "):],
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.run(cmd.Context(), a, args[0])
		},
	}
	f.circuitFlags.add(cmd)
	f.attributeFlags.add(cmd)
	flags := cmd.Flags()
	flags.Lookup("method").Usage += ", " + methodACDC
	flags.StringVar(&f.scores, "scores", "", "scores of `loupe circuits attribute` (.arrow), or an EAP-IG file, in place of --method")
	flags.StringVar(&f.selection, "select", selectGreedy, "greedy (from the logits back), top-n or threshold, by |score|")
	flags.IntVar(&f.edges, "edges", 0, "edges of the circuit before pruning")
	flags.Float64Var(&f.faithfulness, "faithfulness", 0, "take the smallest circuit that reaches this, such as 0.7")
	flags.Float64Var(&f.threshold, "threshold", 0, "keep edges of at least this |score|; acdc: tau")
	flags.StringVar(&f.ablation, "ablation", string(circuits.Patching), fmt.Sprintf("what cut senders write in the judgement: %v", circuits.Ablations))
	flags.IntVar(&f.resamples, "resamples", 200, "bootstrap resamples of the prompts; 0: none")
	flags.IntVar(&f.random, "random", 20, "random circuits of as many edges; 0: none")
	flags.StringVar(&f.out, "out", "", "file of the circuit: .arrow, .json, .pt, .html, .svg, .dot or .graphml")
	flags.IntVar(&f.top, "top", 10, "edges that are printed")
	return cmd
}

func (f *discoverFlags) run(ctx context.Context, a *app, ref string) (err error) {
	r, err := f.open(ctx, a, ref)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if f.dry {
		return a.printOutcome(r.planned())
	}
	cut, err := r.Reference(ctx, circuits.Ablation(f.ablation), uint64(f.seed))
	if err != nil {
		return err
	}
	c, asked, err := f.find(ctx, r, cut)
	if err != nil {
		return err
	}
	p := &discoverReport{Asked: asked, Edges: c.Of().Len(), Resamples: f.resamples, Out: f.out}
	if err := f.judge(ctx, r, cut, c, asked, p); err != nil {
		return err
	}
	if f.out != "" {
		if err := writeGraph(f.out, r.name+" in "+r.ref, &graphFile{Circuit: c}, 0); err != nil {
			return err
		}
	}
	p.Provenance = c.Provenance
	for _, e := range c.Graph.Edges() {
		p.Sum += c.Scores[c.Graph.At(e)]
	}
	p.Top = topEdges(c, c.Of().Edges(), f.top)
	return a.printOutcome(p)
}

// topEdges are the n edges of largest |score|.
func topEdges(c *table.Circuit, edges []circuits.Edge, n int) []edgeScore {
	out := make([]edgeScore, 0, len(edges))
	for _, e := range edges {
		s := edgeScore{Edge: c.Graph.Name(e), Score: c.Scores[c.Graph.At(e)]}
		if c.StdErr != nil {
			s.StdErr = c.StdErr[c.Graph.At(e)]
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(x, y edgeScore) int { return cmp.Compare(math.Abs(y.Score), math.Abs(x.Score)) })
	return out[:min(max(n, 0), len(out))]
}

// find scores edges and selects; asked is the number of edges before pruning, 0 for acdc.
func (f *discoverFlags) find(ctx context.Context, r *circuitRun, cut *circuits.Reference) (c *table.Circuit, asked int, err error) {
	if f.method == methodACDC {
		c, err := f.acdc(ctx, r, cut)
		return c, 0, err
	}
	if c, err = f.scored(ctx, r); err != nil {
		return nil, 0, err
	}
	switch {
	case f.threshold > 0:
		asked = circuits.Threshold(c.Graph, c.Scores, f.threshold).Len()
		if asked == 0 {
			return nil, 0, fmt.Errorf("--threshold %g keeps no edge: the largest |score| is %.4g; lower it to that or less", f.threshold, largest(c.Scores))
		}
	case f.faithfulness > 0:
		if asked, err = f.smallest(ctx, r, cut, c); err != nil {
			return nil, 0, err
		}
	default:
		asked = min(f.edges, len(c.Graph.Edges()))
	}
	kept, _ := circuits.Prune(f.selector()(c.Graph, c.Scores, asked))
	if kept.Len() == 0 {
		return nil, 0, fmt.Errorf("of the %d edges that --select %s takes none lies on a path from the input to the logits; take more, or use --select greedy", asked, f.selection)
	}
	c.Keep, c.Selection = kept.Keep, fmt.Sprintf("%s, %d edges before pruning", f.selection, asked)
	return c, asked, nil
}

func largest(x []float64) float64 {
	out := 0.0
	for _, v := range x {
		out = max(out, math.Abs(v))
	}
	return out
}

// scored is the table of scores: of --scores, or computed.
func (f *discoverFlags) scored(ctx context.Context, r *circuitRun) (*table.Circuit, error) {
	if f.scores == "" {
		scores, certificate, err := f.score(ctx, r.Task)
		if err != nil {
			return nil, err
		}
		return scoredTable(r, &f.circuitFlags, scores, certificate), nil
	}
	c, err := readCircuit(f.scores)
	if err != nil {
		return nil, err
	}
	if err := r.fits(f.scores, c); err != nil {
		return nil, err
	}
	own := r.provenance(&f.circuitFlags, &circuits.Scores{Method: c.Method})
	own.Certificate = c.Certificate
	if c.Pairs != own.Pairs && c.PerRow != nil { // the scores are of other prompts
		c.PerRow, own.Method = nil, c.Method+" on other prompts"
	}
	c.Provenance = own
	return c, nil
}

// fits refuses a circuit of another model.
func (r *circuitRun) fits(path string, c *table.Circuit) error {
	if r.Graph == nil {
		_, err := circuits.GraphOf(r.Model.Spec)
		return err
	}
	if c.Graph.Layers != r.Graph.Layers || c.Graph.Heads != r.Graph.Heads || c.Graph.Parallel != r.Graph.Parallel {
		return fmt.Errorf("%s is of a model of %s; %s has %s", path, shapeOf(c.Graph), r.ref, shapeOf(r.Graph))
	}
	if c.ModelDigest != "" && c.ModelDigest != r.Model.Digest {
		return fmt.Errorf("%s is of other weights than %s (digests %.12s and %.12s); score the edges of this model with `loupe circuits attribute`", path, r.ref, c.ModelDigest, r.Model.Digest)
	}
	return nil
}

// acdc runs ACDC; its scores are what removing each edge added to the loss.
func (f *discoverFlags) acdc(ctx context.Context, r *circuitRun, cut *circuits.Reference) (*table.Circuit, error) {
	found, err := circuits.ACDC(ctx, r.Task, cut, f.threshold)
	if err != nil {
		return nil, err
	}
	kept, _ := circuits.Prune(found.Circuit)
	if kept.Len() == 0 {
		return nil, fmt.Errorf("acdc with --threshold %g keeps nothing that lies on a path from the input to the logits; lower it", f.threshold)
	}
	c := &table.Circuit{Provenance: r.provenance(&f.circuitFlags, &circuits.Scores{Method: methodACDC}), Graph: r.Graph, Keep: kept.Keep, Scores: make([]float64, r.Graph.Size())}
	for i, e := range found.Order {
		c.Scores[r.Graph.At(e)] = found.Deltas[i]
	}
	c.Selection = fmt.Sprintf("acdc, tau %g, %d runs", f.threshold, found.Runs)
	return c, nil
}

// smallest is the least number of edges that reaches --faithfulness.
func (f *discoverFlags) smallest(ctx context.Context, r *circuitRun, cut *circuits.Reference, c *table.Circuit) (int, error) {
	curve, err := circuits.MeasureFaithfulness(ctx, r.Task, cut, c.Scores, f.selector(), circuits.Percentages)
	if err != nil {
		return 0, err
	}
	point, err := curve.Smallest(f.faithfulness)
	if err != nil {
		return 0, err
	}
	low, high := 0, point.Requested
	for _, p := range curve.Points {
		if p.Requested < high {
			low = p.Requested
		}
	}
	for high-low > 1 {
		mid := (low + high) / 2
		kept, _ := circuits.Prune(f.selector()(c.Graph, c.Scores, mid))
		loss, err := r.Evaluate(ctx, cut, kept)
		if err != nil {
			return 0, err
		}
		if (meanOf(loss[0])-curve.Empty)/(curve.Full-curve.Empty) >= f.faithfulness {
			high = mid
		} else {
			low = mid
		}
	}
	return high, nil
}

// judge measures the circuit and writes what it finds to the table's provenance and the report.
func (f *discoverFlags) judge(ctx context.Context, r *circuitRun, cut *circuits.Reference, c *table.Circuit, asked int, p *discoverReport) error {
	c.Ablation = f.ablation
	_, senders := circuits.Prune(c.Of())
	for _, u := range senders {
		p.Nodes = append(p.Nodes, c.Graph.Senders[u])
	}
	controls, err := circuits.MeasureControls(ctx, r.Task, c.Of(), circuits.ControlsConfig{Ablation: circuits.Ablation(f.ablation), Random: f.random, Seed: uint64(f.seed)})
	if err != nil {
		return err
	}
	if p.Fit = controls.Circuit; f.random > 0 {
		p.Controls = controls
	}
	if asked == 0 { // acdc has no scores of the edges that it cut as dead ends, nor of single examples
		p.Resamples = 0
		return nil
	}
	if c.Faithful, err = circuits.MeasureFaithfulness(ctx, r.Task, cut, c.Scores, f.selector(), circuits.Percentages); err != nil {
		return err
	}
	if f.resamples == 0 || c.PerRow == nil || c.Rows < 2 {
		p.Resamples = 0
		return nil
	}
	scores, err := c.RowScores()
	if err != nil {
		return err
	}
	b, err := circuits.NewBootstrap(scores, f.selector(), asked, f.resamples, uint64(f.seed))
	if err != nil {
		return err
	}
	c.Stability, c.Inclusion, c.StdErr, p.WithFull, p.Unstable = b.Pairwise, b.Inclusion, b.StdErr, b.WithFull, b.Unstable
	return nil
}
