package circuits

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// OverlapResult is the Jaccard index of two circuits' edges beside what circuits that have nothing to do with each other would show.
type OverlapResult struct {
	A, B, Shared, Edges int // edges of each, of both, of the graph
	Jaccard             float64
	Size                OverlapNull // random circuits of the two sizes: RandomCircuits
	Degrees             OverlapNull // circuits in which every sender and receiver keeps its number of edges
	Resamples           int
}

// OverlapNull is the Jaccard index between random circuits.
type OverlapNull struct {
	Expected, StdDev float64
	Z                float64 // (Jaccard - Expected) / StdDev; 0 when the null does not vary
	P                float64 // one-sided: (1 + nulls of at least this Jaccard index) / (1 + resamples)
}

// Overlap compares two circuits of one graph with both drawn anew, resamples times from seed. Circuits of one method share nodes with many edges
// whatever the task; the null of equal degrees takes that into account, that of equal size does not.
func Overlap(a, b *Circuit, resamples int, seed uint64) (*OverlapResult, error) {
	if err := sameGraph(a.Graph, b.Graph); err != nil {
		return nil, err
	}
	out := &OverlapResult{A: a.Len(), B: b.Len(), Edges: len(a.Graph.Edges()), Jaccard: Jaccard(a, b), Resamples: resamples}
	switch {
	case out.A == 0 || out.B == 0:
		return nil, fmt.Errorf("circuits: overlap of circuits of %d and %d edges; an empty one overlaps with nothing", out.A, out.B)
	case resamples < 2:
		return nil, fmt.Errorf("circuits: a null of %d resamples; it needs at least 2", resamples)
	}
	for i := range a.Keep {
		if a.Keep[i] && b.Keep[i] {
			out.Shared++
		}
	}
	sized := make([]float64, resamples)
	first, second := RandomCircuits(a.Graph, out.A, resamples, seed), RandomCircuits(a.Graph, out.B, resamples, seed+1)
	for i := range sized {
		sized[i] = Jaccard(first[i], second[i])
	}
	out.Size = overlapNull(out.Jaccard, sized)
	r := rand.New(rand.NewPCG(seed, 0x64656772656573))
	degrees := make([]float64, resamples)
	x, y := a.clone(), b.clone()
	xs, ys := x.Edges(), y.Edges()
	for i := range degrees {
		rewire(x, xs, 20*len(xs), r)
		rewire(y, ys, 20*len(ys), r)
		degrees[i] = Jaccard(x, y)
	}
	out.Degrees = overlapNull(out.Jaccard, degrees)
	return out, nil
}

// overlapNull compares an index with those of random circuits.
func overlapNull(index float64, random []float64) OverlapNull {
	n := OverlapNull{Expected: mean(random)}
	least := 1
	for _, v := range random {
		n.StdDev += (v - n.Expected) * (v - n.Expected) / float64(len(random)-1)
		if v >= index-1e-12 {
			least++
		}
	}
	if n.StdDev = math.Sqrt(n.StdDev); n.StdDev > 1e-12 {
		n.Z = (index - n.Expected) / n.StdDev
	}
	n.P = float64(least) / float64(1+len(random))
	return n
}

// sameGraph tells whether edges of one graph are edges of the other.
func sameGraph(a, b *EdgeGraph) error {
	if a.Layers != b.Layers || a.Heads != b.Heads || a.Parallel != b.Parallel {
		return fmt.Errorf("circuits: one graph has %d layers of %d heads (parallel: %t), the other %d of %d (parallel: %t); only models of one shape have the same edges",
			a.Layers, a.Heads, a.Parallel, b.Layers, b.Heads, b.Parallel)
	}
	return nil
}
