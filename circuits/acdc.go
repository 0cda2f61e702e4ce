package circuits

import (
	"context"
	"fmt"
)

// ACDCResult is a circuit found by ACDC and how it came about.
type ACDCResult struct {
	Circuit      *Circuit
	Start, Final float64   // mean losses of the whole model and of the circuit
	Order        []Edge    // the edges in the order they were tried
	Deltas       []float64 // what removing each added to the mean loss
	Runs         int       // masked passes
}

// ACDC removes edges one at a time, from the logits back (Conmy et al., arXiv:2304.14997): an edge goes for good when removing it
// raises the mean loss by less than tau, D = new - current < tau. Receivers are tried in reverse order, of one block the MLP,
// then the heads from the last to the first with query, key and value of each, and into each receiver the latest sender first.
// Edges into a node that no longer feeds anything change nothing and go without a run.
func ACDC(ctx context.Context, t *Task, ref *Reference, tau float64) (*ACDCResult, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	if tau <= 0 {
		return nil, fmt.Errorf("circuits: ACDC with a threshold of %g; it must be positive, since an edge that changes nothing adds 0", tau)
	}
	g := t.Graph
	out := &ACDCResult{Circuit: Whole(g), Order: acdcOrder(g)}
	loss := func() (float64, error) {
		out.Runs++
		m, err := t.evaluateMeans(ctx, ref, out.Circuit)
		if err != nil {
			return 0, err
		}
		return m[0], nil
	}
	current, err := loss()
	if err != nil {
		return nil, err
	}
	out.Start = current
	feeds := make([]int, len(g.Senders)) // edges that leave each sender
	for _, e := range g.Edges() {
		feeds[e.U]++
	}
	for _, e := range out.Order {
		at := g.At(e)
		out.Circuit.Keep[at] = false
		changed := current
		if o := g.Owner[e.V]; o < 0 || feeds[o] > 0 {
			if changed, err = loss(); err != nil {
				return nil, err
			}
		}
		out.Deltas = append(out.Deltas, changed-current)
		if changed-current < tau {
			current = changed
			feeds[e.U]--
		} else {
			out.Circuit.Keep[at] = true
		}
	}
	out.Final = current
	return out, nil
}

// acdcOrder lists the edges in the order of ACDC.
func acdcOrder(g *EdgeGraph) []Edge {
	receivers := []int{len(g.Receivers) - 1}
	for l := g.Layers - 1; l >= 0; l-- {
		first := l * (3*g.Heads + 1)
		receivers = append(receivers, first+3*g.Heads)
		for h := g.Heads - 1; h >= 0; h-- {
			for part := range 3 {
				receivers = append(receivers, first+part*g.Heads+h)
			}
		}
	}
	var out []Edge
	for _, v := range receivers {
		for u := g.before[v] - 1; u >= 0; u-- {
			out = append(out, Edge{u, v})
		}
	}
	return out
}
