package circuits

import (
	"math/rand/v2"
	"slices"
)

// RandomCircuits draws count circuits of exactly n edges after pruning (n held to the graph's edges), by seed: edges in random order are taken
// while at most n of them lie on paths from the input to the logits; what misses is made up by random edges between the nodes on those paths.
func RandomCircuits(g *EdgeGraph, n, count int, seed uint64) []*Circuit {
	r := rand.New(rand.NewPCG(seed, 0x72616e646f6d))
	edges := g.Edges()
	n = min(max(n, 0), len(edges))
	var out []*Circuit
	for len(out) < count {
		r.Shuffle(len(edges), func(i, j int) { edges[i], edges[j] = edges[j], edges[i] })
		if c := randomCircuit(g, edges, n); c != nil { // else the nodes on the paths have too few edges, as happens at n = 2
			out = append(out, c)
		}
	}
	return out
}

// randomCircuit takes edges in their order; nil when no circuit of n edges comes of it.
func randomCircuit(g *EdgeGraph, edges []Edge, n int) *Circuit {
	low, high := 0, len(edges)+1 // of the first low edges at most n are on paths, of the first high more
	var kept []Edge
	var nodes []int
	for high-low > 1 {
		mid := (low + high) / 2
		if some, ends := pruneEdges(g, slices.Clone(edges[:mid])); len(some) <= n {
			low, kept, nodes = mid, some, ends
		} else {
			high = mid
		}
	}
	c := NewCircuit(g)
	for _, e := range kept {
		c.Keep[g.At(e)] = true
	}
	live := make([]bool, len(g.Senders))
	live[0] = true
	for _, u := range nodes {
		live[u] = true
	}
	missing := n - len(kept)
	for _, e := range edges {
		if o := g.Owner[e.V]; missing > 0 && !c.Keep[g.At(e)] && live[e.U] && (o < 0 || live[o]) {
			c.Keep[g.At(e)] = true
			missing--
		}
	}
	if missing > 0 {
		return nil
	}
	return c
}

// rewire swaps the receivers of two random edges of the circuit, tries times, where both new edges are of the graph and not in the circuit:
// every sender keeps its number of outgoing edges and every receiver that of incoming ones, so nothing is pruned. All such circuits that swaps
// reach are equally likely in the long run, since a refused swap leaves the circuit as it is.
func rewire(c *Circuit, edges []Edge, tries int, r *rand.Rand) {
	g := c.Graph
	for range tries {
		i, j := r.IntN(len(edges)), r.IntN(len(edges))
		a, b := Edge{edges[i].U, edges[j].V}, Edge{edges[j].U, edges[i].V}
		if !g.Real(a) || !g.Real(b) || c.Keep[g.At(a)] || c.Keep[g.At(b)] {
			continue
		}
		c.Keep[g.At(edges[i])], c.Keep[g.At(edges[j])] = false, false
		c.Keep[g.At(a)], c.Keep[g.At(b)] = true, true
		edges[i], edges[j] = a, b
	}
}

// clone is a copy of the circuit.
func (c *Circuit) clone() *Circuit { return &Circuit{c.Graph, slices.Clone(c.Keep)} }
