package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

// writtenGraph is what `loupe circuits view` and `convert` print.
type writtenGraph struct {
	Out      string `json:"out"`
	Edges    int    `json:"edges"`              // of the graph
	Kept     int    `json:"kept,omitempty"`     // of them in the circuit
	Unscored int    `json:"unscored,omitempty"` // edges without a score, which are drawn with 0
}

// write writes a graph and says what was written.
func (g *graphFile) write(a *app, out, title string, top int) error {
	if top < 0 {
		return usagef("--top %d: a number of edges", top)
	}
	if err := writeGraph(out, title, g, top); err != nil {
		return err
	}
	w := writtenGraph{Out: out, Unscored: g.unscored}
	if g.Attribution != nil {
		w.Edges = len(g.Attribution.Links)
	} else {
		w.Edges, w.Kept = len(g.Graph.Edges()), g.Of().Len()
	}
	if a.json {
		return a.printJSON(w)
	}
	_, err := fmt.Fprintf(a.out, "%s: %d edges, %d kept, %d without a score\n", w.Out, w.Edges, w.Kept, w.Unscored)
	return err
}

func newCircuitsViewCmd(a *app) *cobra.Command {
	var out, title string
	var top int
	cmd := &cobra.Command{
		Use:   "view FILE",
		Short: "Draw a circuit or an attribution graph: one-file page, SVG, dot, GraphML",
		Long: `Draw the circuit of a file. The page (.html) holds every edge, shows as many as the circuit has (or --top), pruned to nodes that something
enters and something leaves, and refers to nothing outside itself; the other forms hold what is left after pruning.

` + circuitFileHelp + ` Attribution graphs (.json of circuit-tracer) are drawn too.`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(outForms[3:], filepath.Ext(out)) {
				return usagef("--out %q: a picture ends in .html, .svg, .dot or .graphml", out)
			}
			g, err := readGraph(args[0])
			if err != nil {
				return err
			}
			if title == "" {
				title = filepath.Base(args[0])
			}
			return g.write(a, out, title, top)
		},
	}
	cmd.Flags().StringVar(&out, "out", "circuit.html", "file that is written")
	cmd.Flags().StringVar(&title, "title", "", "title (default: the file's name)")
	cmd.Flags().IntVar(&top, "top", 0, "edges of largest |score| before pruning; 0: as many as the circuit has")
	return cmd
}
