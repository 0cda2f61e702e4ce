package circuits

import "slices"

// Prune drops, until nothing changes, the edges of nodes that no edge enters or none leaves; the input always counts as entered.
// It returns what is left and the senders that have edges both ways, which may be nothing.
func Prune(c *Circuit) (*Circuit, []int) {
	edges, nodes := pruneEdges(c.Graph, c.Edges())
	keep := NewCircuit(c.Graph)
	for _, e := range edges {
		keep.Keep[c.Graph.At(e)] = true
	}
	return keep, nodes
}

// pruneEdges is Prune of a list of edges, whose order it keeps and whose memory it reuses.
func pruneEdges(g *EdgeGraph, edges []Edge) ([]Edge, []int) {
	for {
		in, out := make([]bool, len(g.Senders)), make([]bool, len(g.Senders))
		in[0] = true
		for _, e := range edges {
			out[e.U] = true
			if o := g.Owner[e.V]; o >= 0 {
				in[o] = true
			}
		}
		node := func(u int) bool { return in[u] && out[u] }
		before := len(edges)
		edges = slices.DeleteFunc(edges, func(e Edge) bool {
			o := g.Owner[e.V]
			return !node(e.U) || o >= 0 && !node(o)
		})
		if len(edges) < before {
			continue
		}
		var nodes []int
		for u := range g.Senders {
			if node(u) {
				nodes = append(nodes, u)
			}
		}
		return edges, nodes
	}
}
