package circuits

// Prune drops, until nothing changes, the edges of nodes that no edge enters or none leaves; the input always counts as entered.
// It returns what is left and the senders that have edges both ways, which may be nothing.
func Prune(c *Circuit) (*Circuit, []int) {
	g := c.Graph
	keep := &Circuit{g, append([]bool{}, c.Keep...)}
	for {
		in, out := make([]bool, len(g.Senders)), make([]bool, len(g.Senders))
		in[0] = true
		edges := keep.Edges()
		for _, e := range edges {
			out[e.U] = true
			if o := g.Owner[e.V]; o >= 0 {
				in[o] = true
			}
		}
		node := func(u int) bool { return in[u] && out[u] }
		changed := false
		for _, e := range edges {
			if o := g.Owner[e.V]; !node(e.U) || o >= 0 && !node(o) {
				keep.Keep[g.At(e)], changed = false, true
			}
		}
		if changed {
			continue
		}
		var nodes []int
		for u := range g.Senders {
			if node(u) {
				nodes = append(nodes, u)
			}
		}
		return keep, nodes
	}
}
