package features

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"loupe/circuits"
	"loupe/probe/model"
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
	if _, err := c.members(nodes, ErrorsAsNodes); err != nil {
		return nil, err
	}
	total, err := c.Task.GradientsAt(ctx, c.Sites(), nil)
	if err != nil {
		return nil, err
	}
	g := &Graph{Nodes: nodes}
	direct, err := c.Task.GradientsAt(ctx, c.Sites(), c.held(c.Sites()))
	if err != nil {
		return nil, err
	}
	into := func(to int, gradients map[model.Site][]float64) {
		for k, d := range c.Dictionaries {
			if gradients[d.Site] == nil {
				continue
			}
			products := c.sites[k].times(d, gradients[d.Site])
			for from, n := range nodes {
				if n.Site != d.Site {
					continue
				}
				if e := (Edge{From: from, To: to, PerRow: products.node(n, c.Task.Pairs)}); e.mean() >= threshold && e.Weight != 0 {
					g.Edges = append(g.Edges, e)
				}
			}
		}
	}
	into(Loss, direct.At)
	for k, d := range c.Dictionaries {
		at := c.feeding(k)
		var ends []int
		var weights [][]float32
		for i, n := range nodes {
			if n.Site == d.Site && len(at) > 0 {
				ends, weights = append(ends, i), append(weights, c.pulled(k, n, total.At[d.Site]))
			}
		}
		if len(ends) == 0 {
			continue
		}
		pulled, err := c.Task.Pull(ctx, d.Site, weights, at, c.values[0])
		if err != nil {
			return nil, err
		}
		for i, end := range ends {
			into(end, pulled[i])
		}
	}
	slices.SortFunc(g.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return g, nil
}

// mean sets the edge's weight and returns its size.
func (e *Edge) mean() float64 {
	for _, v := range e.PerRow {
		e.Weight += v / float64(len(e.PerRow))
	}
	return math.Abs(e.Weight)
}

// held are the clean values of sites.
func (c *Code) held(sites []model.Site) circuits.SiteValues {
	out := circuits.SiteValues{}
	for _, s := range sites {
		out[s] = c.values[0][s]
	}
	return out
}

// feeding lists the sites that have a direct path to dictionary k: those from the last one on that holds the whole residual stream.
func (c *Code) feeding(k int) []model.Site {
	sites := c.Sites()[:k]
	for i, s := range slices.Backward(sites) {
		switch s.Kind {
		case model.ResidPre, model.ResidMid, model.ResidPost, model.NormalizedResidPost:
			return sites[i:]
		}
	}
	return sites
}

// pulled is the gradient of a node's part of the loss in its site's value, [places*d]: for a feature (dm/df) df/dx, for the error
// de/dx^T dm/dx with e = x - sum_i f_i(x) w_i. total is dm/dx.
func (c *Code) pulled(k int, n Node, total []float64) []float32 {
	d, s := c.Dictionaries[k], &c.sites[k]
	out := make([]float32, len(total))
	for p, a := range s.active {
		if n.Position != AllPositions && n.Position != p%c.Task.Pairs.Seq {
			continue
		}
		g, here := total[p*d.D:(p+1)*d.D], out[p*d.D:(p+1)*d.D]
		if n.Feature == ErrorFeature {
			for j, v := range g {
				here[j] = float32(v)
			}
		}
		for j, i := range a.index {
			if a.value[0][j] == 0 { // off on the clean input, so it has no gradient
				continue
			}
			switch slope := float32(dot(d.write(i), g)); n.Feature {
			case ErrorFeature:
				axpy(-slope, d.read(i), here)
			case int(i):
				axpy(slope, d.read(i), here)
			}
		}
	}
	return out
}

// node adds up a node's effects, by rows.
func (e *SiteEffects) node(n Node, p *circuits.Pairs) []float64 {
	out := make([]float64, p.Rows)
	for place, v := range e.Error {
		if n.Position != AllPositions && n.Position != place%p.Seq {
			continue
		}
		if n.Feature != ErrorFeature {
			v = 0
			if j, ok := slices.BinarySearch(e.Feature[place], int32(n.Feature)); ok {
				v = e.Effect[place][j]
			}
		}
		out[place/p.Seq] += v
	}
	return out
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
