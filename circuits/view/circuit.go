package view

import (
	"fmt"
	"strings"

	"loupe/circuits"
)

// OfCircuit is a circuit as a picture: a node for every sender and the logits, a link for every edge with its score of scores [u,v], and at
// first as many links as the circuit has. inclusion [u,v], from a bootstrap, may be nil.
func OfCircuit(title string, g *circuits.EdgeGraph, scores []float64, c *circuits.Circuit, inclusion []float64) (*Graph, error) {
	if len(scores) != g.Size() || inclusion != nil && len(inclusion) != g.Size() {
		return nil, fmt.Errorf("view: %d scores and %d inclusions for a graph with %d entries", len(scores), len(inclusion), g.Size())
	}
	out := &Graph{Title: title, Top: c.Len()}
	for u, name := range g.Senders {
		n := Node{ID: name, Label: name, Kind: "head", Root: u == 0}
		var layer, head int
		switch {
		case u == 0:
			n.Kind = "input"
		case strings.HasPrefix(name, "m"):
			n.Kind = "mlp"
			if _, err := fmt.Sscanf(name, "m%d", &layer); err != nil {
				return nil, fmt.Errorf("view: sender %q: %w", name, err)
			}
			n.Row = 2 + 2*layer
		default:
			if _, err := fmt.Sscanf(name, "a%d.h%d", &layer, &head); err != nil {
				return nil, fmt.Errorf("view: sender %q: %w", name, err)
			}
			n.Row, n.Column = 1+2*layer, head
		}
		out.Nodes = append(out.Nodes, n)
	}
	logits := len(out.Nodes)
	out.Nodes = append(out.Nodes, Node{ID: "logits", Label: "logits", Kind: "logits", Row: 1 + 2*g.Layers, Sink: true})
	for _, e := range g.Edges() {
		l := Link{From: e.U, To: logits, Score: scores[g.At(e)]}
		if owner := g.Owner[e.V]; owner >= 0 {
			l.To = owner
		}
		if _, part, ok := strings.Cut(g.Receivers[e.V], "<"); ok {
			l.Label = strings.TrimSuffix(part, ">")
		}
		if inclusion != nil {
			share := inclusion[g.At(e)]
			l.Inclusion = &share
		}
		out.Links = append(out.Links, l)
	}
	return out, out.Check()
}
