package circuits

import "fmt"

// Circuit is a set of edges of a graph.
type Circuit struct {
	Graph *EdgeGraph
	Keep  []bool // [u,v]
}

// NewCircuit returns the circuit without edges.
func NewCircuit(g *EdgeGraph) *Circuit { return &Circuit{g, make([]bool, g.Size())} }

// Whole returns the circuit of all edges.
func Whole(g *EdgeGraph) *Circuit {
	c := NewCircuit(g)
	for _, e := range g.Edges() {
		c.Keep[g.At(e)] = true
	}
	return c
}

// CircuitOf returns the circuit of edges by name.
func CircuitOf(g *EdgeGraph, names []string) (*Circuit, error) {
	c := NewCircuit(g)
	for _, name := range names {
		e, err := g.Parse(name)
		if err != nil {
			return nil, err
		}
		if c.Keep[g.At(e)] {
			return nil, fmt.Errorf("circuits: edge %q is listed twice", name)
		}
		c.Keep[g.At(e)] = true
	}
	return c, nil
}

// Edges lists the circuit's edges in the graph's order.
func (c *Circuit) Edges() []Edge {
	var out []Edge
	for _, e := range c.Graph.Edges() {
		if c.Keep[c.Graph.At(e)] {
			out = append(out, e)
		}
	}
	return out
}

// Names lists the names of the circuit's edges in the graph's order.
func (c *Circuit) Names() []string {
	out := []string{}
	for _, e := range c.Edges() {
		out = append(out, c.Graph.Name(e))
	}
	return out
}

// Len counts the circuit's edges.
func (c *Circuit) Len() int { return len(c.Edges()) }

// Complement is every edge that the circuit lacks.
func (c *Circuit) Complement() *Circuit {
	out := NewCircuit(c.Graph)
	for _, e := range c.Graph.Edges() {
		out.Keep[c.Graph.At(e)] = !c.Keep[c.Graph.At(e)]
	}
	return out
}

// Without is the circuit less every edge into and out of the senders.
func (c *Circuit) Without(senders ...int) *Circuit {
	out := &Circuit{c.Graph, append([]bool{}, c.Keep...)}
	gone := map[int]bool{}
	for _, u := range senders {
		gone[u] = true
	}
	for _, e := range c.Graph.Edges() {
		if gone[e.U] || c.Graph.Owner[e.V] >= 0 && gone[c.Graph.Owner[e.V]] {
			out.Keep[c.Graph.At(e)] = false
		}
	}
	return out
}

// mask is 1 on the edges outside the circuit, which are cut, and 0 inside.
func (c *Circuit) mask() []float32 {
	out := make([]float32, len(c.Keep))
	for i, keep := range c.Keep {
		if !keep {
			out[i] = 1
		}
	}
	return out
}

// Jaccard is |a and b| / |a or b| over edges; 1 when both are empty.
func Jaccard(a, b *Circuit) float64 {
	both, either := 0, 0
	for i := range a.Keep {
		if a.Keep[i] && b.Keep[i] {
			both++
		}
		if a.Keep[i] || b.Keep[i] {
			either++
		}
	}
	if either == 0 {
		return 1
	}
	return float64(both) / float64(either)
}
