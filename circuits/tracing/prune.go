package tracing

import (
	"cmp"
	"fmt"
	"slices"
)

// Pruning says how much of the influence a pruned graph keeps.
type Pruning struct {
	Nodes float64 `json:"nodes" doc:"share of the influence of all nodes that the kept ones have"`
	Edges float64 `json:"edges" doc:"share of the scores of the edges among them"`
}

// DefaultPruning is that of circuit-tracer.
func DefaultPruning() Pruning { return Pruning{Nodes: 0.8, Edges: 0.98} }

// Pruned is which nodes and edges of a graph are kept.
type Pruned struct {
	Pruning
	*Influence
	// Cumulative [n] is the share of all influence that a node and those of more influence have together.
	Cumulative []float64
	Nodes      []bool // [n]
	Edges      []bool // [r, c], as Graph.A
}

// Prune keeps the nodes of most influence, with all tokens and logits, and among them the edges of most score, a normalised edge's being its
// share of the target's influence; then it drops, again and again, features and errors that nothing leaves and features that nothing enters.
func (g *Graph) Prune(p Pruning) (*Pruned, error) {
	if !(p.Nodes > 0 && p.Nodes <= 1) || !(p.Edges > 0 && p.Edges <= 1) {
		return nil, fmt.Errorf("tracing: pruning to %v of the nodes and %v of the edges; shares are in (0,1]", p.Nodes, p.Edges)
	}
	inf, err := g.Influence()
	if err != nil {
		return nil, err
	}
	out := &Pruned{Pruning: p, Influence: inf, Cumulative: cumulative(inf.Values), Nodes: make([]bool, g.Nodes()), Edges: make([]bool, len(g.A))}
	least := threshold(inf.Values, p.Nodes)
	free := len(g.Features) + len(g.Errors) // nodes that may go
	for i := range out.Nodes {
		out.Nodes[i] = i >= free || inf.Values[i] >= least
	}
	if err := g.pruneEdges(out); err != nil {
		return nil, err
	}
	c := g.Columns()
	for changed := true; changed; {
		changed = false
		leaves := make([]bool, c)
		enters := make([]bool, len(g.Features))
		for r := range g.Rows() {
			for j, kept := range out.Edges[r*c : (r+1)*c] {
				// what enters a logit leaves its source; what enters a feature counts for both
				if !kept {
					continue
				}
				leaves[j] = true
				if r < len(enters) {
					enters[r] = true
				}
			}
		}
		for i := range free {
			if out.Nodes[i] && (!leaves[i] || i < len(enters) && !enters[i]) {
				out.Nodes[i], changed = false, true
			}
		}
		g.keepAmong(out.Nodes, out.Edges)
	}
	return out, nil
}

// pruneEdges chooses the edges among the kept nodes.
func (g *Graph) pruneEdges(out *Pruned) error {
	c := g.Columns()
	a := make([]float64, len(g.A))
	for r := range g.Rows() {
		if !out.Nodes[g.Node(r)] {
			continue
		}
		for j, v := range g.Row(r) {
			if out.Nodes[j] {
				a[r*c+j] = v
			}
		}
	}
	normaliseRows(a, c)
	inf, err := g.influence(a)
	if err != nil {
		return err
	}
	for r := range g.Rows() {
		at := inf.Values[g.Node(r)]
		if r >= len(g.Features) {
			at += g.Logits[r-len(g.Features)].Probability
		}
		for j := range c {
			a[r*c+j] *= at
		}
	}
	least := threshold(a, out.Pruning.Edges)
	for i, v := range a {
		out.Edges[i] = v >= least && v > 0
	}
	return nil
}

// keepAmong drops the edges from and to nodes that are not kept.
func (g *Graph) keepAmong(nodes, edges []bool) {
	c := g.Columns()
	for r := range g.Rows() {
		to := nodes[g.Node(r)]
		for j := range c {
			edges[r*c+j] = edges[r*c+j] && to && nodes[j]
		}
	}
}

// threshold is the smallest of the largest values that have the share of the sum together.
func threshold(x []float64, share float64) float64 {
	sorted := slices.DeleteFunc(slices.Clone(x), func(v float64) bool { return v == 0 })
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
	total, s := sum(sorted), 0.0
	for _, v := range sorted {
		if s += v; s/total >= share {
			return v
		}
	}
	return 0
}

// cumulative is the share of the sum that each value and the larger ones have; of equal values the earlier comes first.
func cumulative(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[b], x[a]) })
	out, total, s := make([]float64, len(x)), sum(x), 0.0
	for _, i := range order {
		s += x[i]
		out[i] = s / total
	}
	return out
}
