package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/circuits"
	"loupe/circuits/table"
)

// scorer computes the scores of every edge; steps is for those that integrate.
type scorer struct {
	name string
	run  func(ctx context.Context, t *circuits.Task, steps int) (*circuits.Scores, error)
}

// scorers are the methods by name.
var scorers = []scorer{
	{"mask-ig", circuits.MaskIG},
	{"eap", func(ctx context.Context, t *circuits.Task, _ int) (*circuits.Scores, error) {
		return circuits.EAP(ctx, t)
	}},
	{"eap-ig-inputs", circuits.EAPIGInputs},
	{"eap-ig-activations", func(ctx context.Context, t *circuits.Task, steps int) (*circuits.Scores, error) {
		return circuits.EAPIGActivations(ctx, t, circuits.PathSender, steps)
	}},
	{"eap-ig-sublayers", func(ctx context.Context, t *circuits.Task, steps int) (*circuits.Scores, error) {
		return circuits.EAPIGActivations(ctx, t, circuits.PathSubLayer, steps)
	}},
	{"eap-ig-compat", func(ctx context.Context, t *circuits.Task, steps int) (*circuits.Scores, error) {
		return circuits.EAPIGActivations(ctx, t, circuits.PathCompat, steps)
	}},
	{"clean-corrupted", func(ctx context.Context, t *circuits.Task, _ int) (*circuits.Scores, error) {
		return circuits.CleanCorrupted(ctx, t)
	}},
	{"ifr", func(ctx context.Context, t *circuits.Task, _ int) (*circuits.Scores, error) {
		return circuits.IFR(ctx, t)
	}},
	{"exact", func(ctx context.Context, t *circuits.Task, _ int) (*circuits.Scores, error) {
		return circuits.Exact(ctx, t)
	}},
}

// scorerNames lists the methods.
func scorerNames() string {
	var names []string
	for _, s := range scorers {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// attributeFlags are the flags that choose how edges are scored.
type attributeFlags struct {
	method  string
	steps   int
	certify bool
}

func (f *attributeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.method, "method", "mask-ig", scorerNames())
	flags.IntVar(&f.steps, "steps", 10, "steps of the methods that integrate")
	flags.BoolVar(&f.certify, "certify", true, "check the machinery's identities on these inputs (some more passes and compiles)")
}

// score computes the scores and the certificate.
func (f *attributeFlags) score(ctx context.Context, t *circuits.Task) (*circuits.Scores, *circuits.Certificate, error) {
	at := slices.IndexFunc(scorers, func(s scorer) bool { return s.name == f.method })
	if at < 0 {
		return nil, nil, usagef("--method %q: use %s", f.method, scorerNames())
	}
	scores, err := scorers[at].run(ctx, t, f.steps)
	if err != nil || !f.certify {
		return scores, nil, err
	}
	c, err := circuits.Certify(ctx, t, scores)
	return scores, c, err
}

// edgeScore is an edge of a report.
type edgeScore struct {
	Edge   string  `json:"edge"`
	Score  float64 `json:"score"`
	StdErr float64 `json:"std_err"`
}

// attributeReport is what `loupe circuits attribute` prints.
type attributeReport struct {
	table.Provenance
	Edges    int             `json:"edges"`
	Sum      float64         `json:"sum"`    // of all scores
	Change   float64         `json:"change"` // of the loss, from clean to corrupted
	Rejected int             `json:"rejected"`
	Top      []edgeScore     `json:"top"`
	Programs int             `json:"programs"`
	Memory   circuits.Memory `json:"memory"`
	Out      string          `json:"out,omitempty"`
	Dry      bool            `json:"dry_run,omitempty"`
}

// Print implements [outcome].
func (r *attributeReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "task\t%s on %s: %d prompts of %d tokens", r.Task, r.Model, r.Rows, r.Seq)
	if r.Rejected > 0 {
		fmt.Fprintf(w, ", %d more could not be aligned", r.Rejected)
	}
	fmt.Fprintf(w, "\nmemory\t%s\n", memoryLine(&r.Memory))
	if r.Dry {
		return w.Flush()
	}
	fmt.Fprintf(w, "loss\t%.4f clean, %.4f corrupted (%s)\n", r.CleanLoss, r.Corrupted, r.Metric)
	fmt.Fprintf(w, "scores\t%s over %d edges\n", r.Method, r.Edges)
	fmt.Fprintf(w, "do they add up?\tsum %.4f, true change %.4f%s\n", r.Sum, r.Change, addsUp(r.Sum, r.Change))
	printCertificate(w, r.Certificate)
	fmt.Fprintf(w, "programs\t%d compiled\n", r.Programs)
	if r.Out != "" {
		fmt.Fprintf(w, "table\t%s\n", r.Out)
	}
	fmt.Fprintf(w, "\nEDGE\tscore\tstandard error\n")
	for _, e := range r.Top {
		fmt.Fprintf(w, "%s\t%.4f\t%.4f\n", e.Edge, e.Score, e.StdErr)
	}
	return w.Flush()
}

// printCertificate prints a line for each check.
func printCertificate(w io.Writer, certificate *circuits.Certificate) {
	if certificate == nil {
		return
	}
	for _, c := range certificate.Checks {
		if c.Skipped != "" {
			fmt.Fprintf(w, "certificate\t%s: not checked, %s\n", c.Name, c.Skipped)
			continue
		}
		fmt.Fprintf(w, "certificate\t%s: off by %.1e of %.0e%s\n", c.Name, c.Error, c.Tolerance, map[bool]string{false: ": FAILED"}[c.OK()])
	}
}

// addsUp says how far a sum is from what it should be.
func addsUp(sum, change float64) string {
	if change == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f %%)", 100*sum/change)
}

func memoryLine(m *circuits.Memory) string {
	return fmt.Sprintf("%.1f MiB for the largest pass, %d chunks of %d prompts, %d copies in a sweep", float64(m.Bytes)/(1<<20), m.Chunks, m.Rows, m.Copies)
}

func newCircuitsAttributeCmd(a *app) *cobra.Command {
	f := newCircuitFlags()
	var how attributeFlags
	var out string
	var top int
	cmd := &cobra.Command{
		Use:   "attribute MODEL",
		Short: "Score every edge between a model's parts on a task",
		Long: `Score every edge from the input, a head or an MLP to a later head's query, key or value, an MLP or the logits: what corrupting the edge adds to the
loss, for every prompt. The default, mask-ig, is the one method whose scores add up to the true change; the sum of any method is printed beside
it, with a certificate of the machinery's identities on these inputs. --out keeps the scores in an Arrow table for the other commands.

MODEL is a decoder that normalises before each block: ` + refHelp[len("REF is "):],
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			ctx := cmd.Context()
			r, err := f.open(ctx, a, args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.close()) }()
			if f.dry {
				return a.printOutcome(r.planned())
			}
			scores, certificate, err := how.score(ctx, r.Task)
			if err != nil {
				return err
			}
			c := scoredTable(r, &f, scores, certificate)
			if out != "" {
				if err := table.Write(out, c); err != nil {
					return err
				}
			}
			return a.printOutcome(attributed(r, c, top, out))
		},
	}
	f.add(cmd)
	how.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "Arrow table of the scores")
	cmd.Flags().IntVar(&top, "top", 10, "edges that are printed")
	return cmd
}

// planned is the report of a dry run.
func (r *circuitRun) planned() *attributeReport {
	p := table.Provenance{Model: r.ref, Task: r.name, Pairs: r.digest, Rows: r.rows, Seq: r.seq}
	return &attributeReport{Provenance: p, Rejected: len(r.rejected), Memory: *r.memory, Dry: true}
}

// scoredTable is a table of scores in which no edge is kept yet.
func scoredTable(r *circuitRun, f *circuitFlags, scores *circuits.Scores, certificate *circuits.Certificate) *table.Circuit {
	c := &table.Circuit{
		Provenance: r.provenance(f, scores), Graph: scores.Graph, Scores: scores.Mean(), Keep: make([]bool, scores.Graph.Size()), PerRow: scores.Values,
		StdErr: make([]float64, scores.Graph.Size()),
	}
	c.Certificate = certificate
	n := float64(scores.Rows)
	for i, m := range c.Scores {
		sum := 0.0
		for r := range scores.Rows {
			d := scores.Values[r*len(c.Scores)+i] - m
			sum += d * d
		}
		if n > 1 {
			c.StdErr[i] = math.Sqrt(sum / (n - 1) / n)
		}
	}
	return c
}

// attributed makes the report of scores.
func attributed(r *circuitRun, c *table.Circuit, top int, out string) *attributeReport {
	p := &attributeReport{Provenance: c.Provenance, Rejected: len(r.rejected), Programs: r.Engine.Compiles(), Memory: *r.memory, Out: out, Change: c.Corrupted - c.CleanLoss}
	edges := c.Graph.Edges()
	p.Edges = len(edges)
	for _, e := range edges {
		p.Sum += c.Scores[c.Graph.At(e)]
	}
	for _, e := range circuits.TopN(c.Graph, c.Scores, min(max(top, 0), len(edges))).Edges() {
		p.Top = append(p.Top, edgeScore{c.Graph.Name(e), c.Scores[c.Graph.At(e)], c.StdErr[c.Graph.At(e)]})
	}
	slices.SortStableFunc(p.Top, func(x, y edgeScore) int { return cmp.Compare(math.Abs(y.Score), math.Abs(x.Score)) })
	return p
}
