package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/circuits"
)

// graphReport is what `loupe circuits graph` prints.
type graphReport struct {
	File  string                 `json:"file"`
	Edges []edgeScore            `json:"edges"` // after pruning, largest |score| first
	Nodes []string               `json:"nodes"` // that are left, the logits last
	Graph *circuits.GraphMetrics `json:"metrics"`
	list  bool
}

// Print implements [outcome].
func (r *graphReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	m := r.Graph
	fmt.Fprintf(w, "circuit\t%d edges between %d nodes after pruning\n", len(r.Edges), len(r.Nodes))
	fmt.Fprintf(w, "arcs\t%d, density %.4f, mean degree %.2f\n", m.Arcs, m.Density, m.MeanDegree)
	fmt.Fprintf(w, "longest path\t%d arcs\ncomponents\t%d\nclustering\t%.4f\nrobustness\t%.4f\n", m.LongestPath, m.Components, m.Clustering, m.Robustness)
	fmt.Fprintf(w, "\nNODE\tin\tout\tcore\tdegree\tbetweenness\tcloseness\tPageRank\n")
	for i, name := range m.Nodes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.3f\t%.4f\t%.4f\t%.4f\n", name, m.InDegree[i], m.OutDegree[i], m.Core[i], m.DegreeCentrality[i], m.Betweenness[i], m.Closeness[i], m.PageRank[i])
	}
	if r.list {
		fmt.Fprintf(w, "\nEDGE\tscore\n")
		for _, e := range r.Edges {
			fmt.Fprintf(w, "%s\t%.6g\n", e.Edge, e.Score)
		}
	}
	return w.Flush()
}

func newCircuitsGraphCmd(a *app) *cobra.Command {
	var top int
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Measure a circuit as a graph; list its edges",
		Long: `Print measures of the circuit's nodes and arcs: degrees, density, cores, centralities, clustering, longest path, components, robustness.
With --top N the circuit is the N edges of largest |score|, pruned to nodes that something enters and something leaves, as the page of
` + "`loupe circuits view`" + ` shows them, and the edges are listed. ` + circuitFileHelp,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readCircuit(args[0])
			if err != nil {
				return err
			}
			kept := c.Of()
			if cmd.Flags().Changed("top") {
				if top < 1 {
					return usagef("--top %d: at least one edge", top)
				}
				kept = circuits.TopN(c.Graph, c.Scores, top)
			}
			if kept.Len() == 0 {
				return fmt.Errorf("%s keeps no edge; say how many are taken by score with --top, or choose edges with `loupe circuits discover`", args[0])
			}
			pruned, senders := circuits.Prune(kept)
			if pruned.Len() == 0 {
				return fmt.Errorf("%s: of %d edges none lies on a path from the input to the logits; take more with --top, or select with the greedy rule", args[0], kept.Len())
			}
			r := &graphReport{File: args[0], list: top > 0}
			for _, u := range senders {
				r.Nodes = append(r.Nodes, c.Graph.Senders[u])
			}
			r.Nodes = append(r.Nodes, "logits")
			for _, e := range pruned.Edges() {
				s := edgeScore{Edge: c.Graph.Name(e), Score: c.Scores[c.Graph.At(e)]}
				if c.StdErr != nil {
					s.StdErr = c.StdErr[c.Graph.At(e)]
				}
				r.Edges = append(r.Edges, s)
			}
			slices.SortStableFunc(r.Edges, func(x, y edgeScore) int { return cmp.Compare(math.Abs(y.Score), math.Abs(x.Score)) })
			if r.Graph, err = circuits.MeasureGraph(pruned); err != nil {
				return err
			}
			return a.printOutcome(r)
		},
	}
	cmd.Flags().IntVar(&top, "top", 0, "take the edges of largest |score| in place of the kept ones, and list them")
	return cmd
}
