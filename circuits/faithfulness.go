package circuits

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Percentages are the shares of edges at which MIB measures circuits (Mueller et al., arXiv:2504.13151).
var Percentages = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1}

// Faithfulness is a curve of f = (m(C) - m(empty)) / (m(full) - m(empty)) over circuits of growing size, m the mean loss. CPR is
// the trapezoid integral of f over the share of edges and CMD that of |1 - f|; f may pass 1.
type Faithfulness struct {
	Full, Empty float64 // mean losses
	Edges       int     // of the graph
	Points      []FaithfulnessPoint
	CPR, CMD    float64
	// FullPerRow and EmptyPerRow are the losses behind Full and Empty; see Intervals.
	FullPerRow, EmptyPerRow []float64 `json:"-"`
}

// FaithfulnessPoint is one circuit of the curve.
type FaithfulnessPoint struct {
	Share      float64 // of the edges that are asked for
	Requested  int
	Kept       int // edges after pruning
	Nodes      int
	Loss       float64
	F          float64
	Circuit    *Circuit  `json:"-"`
	LossPerRow []float64 `json:"-"`
}

// MeasureFaithfulness selects int(share edges) edges by scores [u,v] at each share, prunes, and measures; the shares must rise.
func MeasureFaithfulness(ctx context.Context, t *Task, ref *Reference, scores []float64, pick Selector, shares []float64) (*Faithfulness, error) {
	if len(shares) == 0 {
		return nil, errors.New("circuits: faithfulness at no share of edges")
	}
	n := len(t.Graph.Edges())
	out := &Faithfulness{Full: mean(t.CleanLoss), Edges: n, FullPerRow: t.CleanLoss}
	circuits := []*Circuit{NewCircuit(t.Graph)}
	for i, share := range shares {
		if i > 0 && share <= shares[i-1] || share < 0 || share > 1 {
			return nil, errors.New("circuits: shares of edges must rise within 0..1")
		}
		kept, nodes := Prune(pick(t.Graph, scores, int(share*float64(n))))
		circuits = append(circuits, kept)
		out.Points = append(out.Points, FaithfulnessPoint{Share: share, Requested: int(share * float64(n)), Kept: kept.Len(), Nodes: len(nodes), Circuit: kept})
	}
	rows, err := t.Evaluate(ctx, ref, circuits...)
	if err != nil {
		return nil, err
	}
	out.Empty, out.EmptyPerRow = mean(rows[0]), rows[0]
	if math.Abs(out.Full-out.Empty) < 1e-9 {
		return nil, errors.New("circuits: the metric is the same with all edges and with none, so no circuit can explain it; choose other pairs or another metric")
	}
	for i := range out.Points {
		p := &out.Points[i]
		p.LossPerRow, p.Loss = rows[i+1], mean(rows[i+1])
		p.F = (p.Loss - out.Empty) / (out.Full - out.Empty)
		if i > 0 {
			q, step := out.Points[i-1], (p.Share-out.Points[i-1].Share)/2
			out.CPR += step * (q.F + p.F)
			out.CMD += step * (math.Abs(1-q.F) + math.Abs(1-p.F))
		}
	}
	return out, nil
}

// GrowingShares are count shares of the graph's edges whose numbers grow by one factor, up to all edges.
func GrowingShares(g *EdgeGraph, count int) []float64 {
	all := float64(len(g.Edges()))
	var out []float64
	last := 0.0
	for i := range count {
		n := max(math.Round(math.Pow(all, float64(i+1)/float64(count))), last+1)
		last = n
		out = append(out, min((n+0.5)/all, 1)) // half an edge more, so that the number is not rounded down
	}
	return out
}

// Smallest is the first circuit of the curve whose f reaches share, or an error that says how far the curve comes.
func (f *Faithfulness) Smallest(share float64) (*FaithfulnessPoint, error) {
	best := math.Inf(-1)
	for i := range f.Points {
		if f.Points[i].F >= share {
			return &f.Points[i], nil
		}
		best = max(best, f.Points[i].F)
	}
	return nil, fmt.Errorf("circuits: no circuit of the curve has faithfulness %v; the best has %.3f; measure larger ones", share, best)
}
