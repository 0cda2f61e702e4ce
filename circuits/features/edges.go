package features

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"loupe/circuits"
)

// Loss stands for the metric as the end of an edge.
const Loss = -1

// Edge joins two nodes of a Graph. Its weight is (dm/dd) (dd/du) (u' - u): what moving u to its corrupted value does to the loss through
// d, to first order, by the paths from u to d that avoid every other site with a dictionary.
type Edge struct {
	From, To int // indices of Graph.Nodes; To may be Loss
	// Weight is the mean over rows; PerRow are the rows' own.
	Weight float64
	PerRow []float64
}

// Graph is a circuit of features.
type Graph struct {
	Nodes []Node
	Edges []Edge
}

// Edges computes the edges between nodes, and from nodes to the loss by paths that meet no other site, and keeps those whose weight is at least
// threshold in size. A product of one vector with the Jacobian between two sites gives all edges into a node, at all its positions and
// for all rows, so the cost is a pass through the blocks between two sites for each node (Options.SweepRows of them at a time).
//
// Over all features and errors of the sites, on or off, the edges out of a node add up to its effect by AtP.
func (c *Code) Edges(ctx context.Context, nodes []Node, threshold float64) (*Graph, error) {
	if len(nodes) == 0 {
		return nil, errors.New("features: no nodes to join; lower the threshold that chose them")
	}
	all := make([]circuits.Component, len(nodes))
	for i, n := range nodes {
		var err error
		if all[i], err = c.Component(n); err != nil {
			return nil, err
		}
	}
	scores, err := circuits.AttributeComponents(ctx, c.Task, all, all, c.values[0], circuits.Paths{Held: c.Sites()})
	if err != nil {
		return nil, err
	}
	g := &Graph{Nodes: nodes}
	add := func(e Edge, at func(row int) float64) {
		e.PerRow = make([]float64, scores.Rows)
		for r := range e.PerRow {
			e.PerRow[r] = at(r)
			e.Weight += e.PerRow[r] / float64(scores.Rows)
		}
		if e.Weight != 0 && math.Abs(e.Weight) >= threshold {
			g.Edges = append(g.Edges, e)
		}
	}
	n := len(nodes)
	for from := range n {
		add(Edge{From: from, To: Loss}, func(row int) float64 { return scores.Loss[row*n+from] })
		for to := range n {
			add(Edge{From: from, To: to}, func(row int) float64 { return scores.Values[(row*n+from)*n+to] })
		}
	}
	slices.SortFunc(g.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return g, nil
}

// check refuses edges that do not go from a node to a later one or to the loss.
func (g *Graph) check() error {
	var all error
	for i, e := range g.Edges {
		switch {
		case e.From < 0 || e.From >= len(g.Nodes) || e.To < Loss || e.To >= len(g.Nodes):
			all = errors.Join(all, fmt.Errorf("features: edge %d joins nodes %d and %d of %d", i, e.From, e.To, len(g.Nodes)))
		case e.To != Loss && circuits.CompareSites(g.Nodes[e.From].Site, g.Nodes[e.To].Site) >= 0:
			all = errors.Join(all, fmt.Errorf("features: edge %d goes from %s back to %s", i, g.Nodes[e.From].Name(), g.Nodes[e.To].Name()))
		}
	}
	return all
}
