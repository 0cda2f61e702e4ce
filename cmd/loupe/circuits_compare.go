package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/circuits"
)

// compareReport is what `loupe circuits compare` prints.
type compareReport struct {
	*circuits.OverlapResult
	NodeJaccard float64  `json:"node_jaccard"`
	Gained      []string `json:"gained"` // edges of the second circuit alone
	Lost        []string `json:"lost"`   // of the first alone
	list        int
}

// Print implements [outcome].
func (r *compareReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "edges\t%d and %d of %d, %d shared\n", r.A, r.B, r.Edges, r.Shared)
	fmt.Fprintf(w, "Jaccard\t%.4f of edges, %.4f of nodes\n", r.Jaccard, r.NodeJaccard)
	fmt.Fprintf(w, "random circuits of these sizes\t%.4f, standard deviation %.4f: z = %.1f, p = %.2g\n", r.Size.Expected, r.Size.StdDev, r.Size.Z, r.Size.P)
	fmt.Fprintf(w, "random circuits of these degrees\t%.4f, standard deviation %.4f: z = %.1f, p = %.2g\n", r.Degrees.Expected, r.Degrees.StdDev, r.Degrees.Z, r.Degrees.P)
	fmt.Fprintf(w, "resamples\t%d\n", r.Resamples)
	for _, l := range []struct {
		name  string
		edges []string
	}{{"gained", r.Gained}, {"lost", r.Lost}} {
		fmt.Fprintf(w, "%s\t%d edges\n", l.name, len(l.edges))
		for _, e := range l.edges[:min(r.list, len(l.edges))] {
			fmt.Fprintf(w, "\t%s\n", e)
		}
	}
	return w.Flush()
}

func newCircuitsCompareCmd(a *app) *cobra.Command {
	var resamples, list, top int
	var seed uint64
	cmd := &cobra.Command{
		Use:   "compare FILE FILE",
		Short: "Compare two circuits: shared edges beside chance, edges gained and lost",
		Long: `Print the Jaccard index of the kept edges of two circuits, beside that of random circuits of the same sizes and of random circuits whose nodes
keep their numbers of edges, and the edges that only one of them has. With --top N each circuit is the N edges of largest |score|, pruned.

` + circuitFileHelp,
		Args: exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var kept [2]*circuits.Circuit
			for i, path := range args {
				c, err := readCircuit(path)
				if err != nil {
					return err
				}
				if kept[i] = c.Of(); top > 0 {
					kept[i], _ = circuits.Prune(circuits.TopN(c.Graph, c.Scores, top))
				}
				if kept[i].Len() == 0 {
					return fmt.Errorf("%s keeps no edge; choose edges with `loupe circuits discover`, or compare those of largest |score| with --top", path)
				}
			}
			one, other := kept[0].Graph, kept[1].Graph
			if one.Layers != other.Layers || one.Heads != other.Heads || one.Parallel != other.Parallel {
				return errors.New("the circuits are of models of other shapes: " + shapeOf(one) + " and " + shapeOf(other) + "; compare circuits of one architecture")
			}
			o, err := circuits.Overlap(kept[0], kept[1], resamples, seed)
			if err != nil {
				return err
			}
			r := &compareReport{OverlapResult: o, NodeJaccard: circuits.NodeJaccard(kept[0], kept[1]), Gained: []string{}, Lost: []string{}, list: list}
			for _, e := range one.Edges() {
				switch at := one.At(e); {
				case kept[0].Keep[at] && !kept[1].Keep[at]:
					r.Lost = append(r.Lost, one.Name(e))
				case !kept[0].Keep[at] && kept[1].Keep[at]:
					r.Gained = append(r.Gained, one.Name(e))
				}
			}
			return a.printOutcome(r)
		},
	}
	cmd.Flags().IntVar(&resamples, "resamples", 200, "random circuits of each null")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "seed of the random circuits")
	cmd.Flags().IntVar(&list, "list", 10, "edges gained and lost that are listed; --json has all")
	cmd.Flags().IntVar(&top, "top", 0, "compare the edges of largest |score| in place of the kept ones")
	return cmd
}

func shapeOf(g *circuits.EdgeGraph) string {
	return fmt.Sprintf("%d layers of %d heads", g.Layers, g.Heads)
}
