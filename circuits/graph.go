package circuits

import (
	"fmt"
	"strings"

	"loupe/probe/model"
)

// EdgeGraph is the edge graph of a pre-norm model.
type EdgeGraph struct {
	Layers, Heads int
	Parallel      bool // attention and MLP of a block read the same stream, so heads do not feed the MLP of their own block
	Senders       []string
	Receivers     []string
	Owner         []int // the sender that each receiver belongs to; -1 for the logits
	before        []int // senders that feed each receiver: the first n
	sender        map[string]int
	receiver      map[string]int
}

// Edge joins sender U to receiver V, indices of EdgeGraph.Senders and Graph.Receivers.
type Edge struct{ U, V int }

// NewEdgeGraph returns the graph of models with layers blocks of heads query heads.
func NewEdgeGraph(layers, heads int, parallel bool) (*EdgeGraph, error) {
	if layers < 1 || heads < 1 {
		return nil, fmt.Errorf("circuits: a graph of %d layers of %d heads", layers, heads)
	}
	g := &EdgeGraph{Layers: layers, Heads: heads, Parallel: parallel, Senders: []string{"input"}, sender: map[string]int{}, receiver: map[string]int{}}
	for l := range layers {
		before := len(g.Senders)
		receive := func(name string, owner, before int) {
			g.Receivers, g.Owner, g.before = append(g.Receivers, name), append(g.Owner, owner), append(g.before, before)
		}
		for _, part := range "qkv" {
			for h := range heads {
				receive(fmt.Sprintf("a%d.h%d<%c>", l, h, part), before+h, before)
			}
		}
		for h := range heads {
			g.Senders = append(g.Senders, fmt.Sprintf("a%d.h%d", l, h))
		}
		mlp := len(g.Senders)
		g.Senders = append(g.Senders, fmt.Sprintf("m%d", l))
		if parallel {
			receive(g.Senders[mlp], mlp, before)
		} else {
			receive(g.Senders[mlp], mlp, mlp)
		}
	}
	g.Receivers, g.Owner, g.before = append(g.Receivers, "logits"), append(g.Owner, -1), append(g.before, len(g.Senders))
	for u, name := range g.Senders {
		g.sender[name] = u
	}
	for v, name := range g.Receivers {
		g.receiver[name] = v
	}
	return g, nil
}

// GraphOf returns the graph of models of Spec s, or why there is none.
func GraphOf(s *model.Spec) (*EdgeGraph, error) {
	if err := s.HasEdges(); err != nil {
		return nil, fmt.Errorf("circuits: %w", err)
	}
	return NewEdgeGraph(s.Layers, s.Heads, s.Parallel)
}

// Size is the number of entries of a score matrix [u,v], edges or not.
func (g *EdgeGraph) Size() int { return len(g.Senders) * len(g.Receivers) }

// At is the index of an edge in a score matrix [u,v].
func (g *EdgeGraph) At(e Edge) int { return e.U*len(g.Receivers) + e.V }

// Real tells whether sender u feeds receiver v.
func (g *EdgeGraph) Real(e Edge) bool { return e.U < g.before[e.V] }

// Edges lists the edges, by sender and then by receiver.
func (g *EdgeGraph) Edges() []Edge {
	var out []Edge
	for u := range g.Senders {
		for v := range g.Receivers {
			if e := (Edge{u, v}); g.Real(e) {
				out = append(out, e)
			}
		}
	}
	return out
}

// Name is an edge's name, such as "a0.h3->a1.h0<k>".
func (g *EdgeGraph) Name(e Edge) string { return g.Senders[e.U] + "->" + g.Receivers[e.V] }

// Parse reads an edge's name.
func (g *EdgeGraph) Parse(name string) (Edge, error) {
	from, to, ok := strings.Cut(name, "->")
	u, known := g.sender[from]
	v, reached := g.receiver[to]
	switch {
	case !ok:
		return Edge{}, fmt.Errorf("circuits: edge %q is not of the form sender->receiver", name)
	case !known:
		return Edge{}, fmt.Errorf("circuits: edge %q: no sender %q among input, a0.h0 to a%d.h%d, m0 to m%d", name, from, g.Layers-1, g.Heads-1, g.Layers-1)
	case !reached:
		return Edge{}, fmt.Errorf("circuits: edge %q: no receiver %q; heads receive as a0.h0<q>, <k> or <v>, and the rest are m0 to m%d and logits", name, to, g.Layers-1)
	case !g.Real(Edge{u, v}):
		return Edge{}, fmt.Errorf("circuits: edge %q: %s comes after %s", name, from, to)
	}
	return Edge{u, v}, nil
}

// Sender returns the index of a node's name among the senders.
func (g *EdgeGraph) Sender(name string) (int, error) {
	u, ok := g.sender[name]
	if !ok {
		return 0, fmt.Errorf("circuits: no node %q among input, a0.h0 to a%d.h%d, m0 to m%d", name, g.Layers-1, g.Heads-1, g.Layers-1)
	}
	return u, nil
}
