package circuits

import (
	"cmp"
	"math"
	"slices"
)

// Selector picks n edges by scores [u,v].
type Selector func(g *EdgeGraph, scores []float64, n int) *Circuit

// TopN keeps the n edges of largest |score|; of equal ones those of earlier senders, then of earlier receivers.
func TopN(g *EdgeGraph, scores []float64, n int) *Circuit {
	edges := g.Edges()
	slices.SortStableFunc(edges, func(a, b Edge) int {
		return cmp.Compare(math.Abs(scores[g.At(b)]), math.Abs(scores[g.At(a)]))
	})
	c := NewCircuit(g)
	for _, e := range edges[:min(max(n, 0), len(edges))] {
		c.Keep[g.At(e)] = true
	}
	return c
}

// Threshold keeps the edges whose |score| is at least tau.
func Threshold(g *EdgeGraph, scores []float64, tau float64) *Circuit {
	c := NewCircuit(g)
	for _, e := range g.Edges() {
		c.Keep[g.At(e)] = math.Abs(scores[g.At(e)]) >= tau
	}
	return c
}
