package circuits

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// StableJaccard is the mean Jaccard index of bootstrap circuits under which a circuit is called unstable (arXiv:2510.00845).
const StableJaccard = 0.8

// Bootstrap says how far a circuit hangs on the examples it was found with.
type Bootstrap struct {
	Full         *Circuit  // from all rows
	Inclusion    []float64 // [u,v]: share of resamples whose circuit has the edge
	StdErr       []float64 // [u,v]: standard deviation of the mean score over resamples
	Pairwise     float64   // mean Jaccard index between the circuits of two resamples
	WithFull     float64   // mean Jaccard index between a resample's circuit and Full
	GapAtCut     float64   // |score| of the last edge that Full has less that of the first it lacks
	Resamples, N int
	Unstable     bool // Pairwise < StableJaccard
}

// NewBootstrap selects n edges from the mean scores of resampled rows, resamples times, from seed.
func NewBootstrap(s *Scores, pick Selector, n, resamples int, seed uint64) (*Bootstrap, error) {
	r := rand.New(rand.NewPCG(seed, 0x63697263756974))
	index := make([][]int, max(resamples, 0))
	for i := range index {
		index[i] = make([]int, s.Rows)
		for j := range index[i] {
			index[i][j] = r.IntN(s.Rows)
		}
	}
	return BootstrapFrom(s, pick, n, index)
}

// BootstrapFrom is NewBootstrap with given rows in each resample.
func BootstrapFrom(s *Scores, pick Selector, n int, index [][]int) (*Bootstrap, error) {
	edges := s.Graph.Edges()
	switch {
	case len(index) < 2:
		return nil, fmt.Errorf("circuits: a bootstrap of %d resamples; it needs at least 2", len(index))
	case n < 1 || n > len(edges):
		return nil, fmt.Errorf("circuits: a bootstrap of circuits of %d edges; the graph has %d", n, len(edges))
	}
	full := s.Mean()
	size := s.Graph.Size()
	out := &Bootstrap{Full: pick(s.Graph, full, n), Inclusion: make([]float64, size), StdErr: make([]float64, size), Resamples: len(index), N: n}
	r := float64(len(index))
	sums, means := make([]float64, size), make([][]float64, len(index))
	circuits := make([]*Circuit, len(index))
	for i, rows := range index {
		for _, row := range rows {
			if row < 0 || row >= s.Rows {
				return nil, fmt.Errorf("circuits: resample %d names row %d of %d", i, row, s.Rows)
			}
		}
		means[i] = s.mean(rows)
		accumulate(sums, means[i], 1/r)
		circuits[i] = pick(s.Graph, means[i], n)
		for at, keep := range circuits[i].Keep {
			if keep {
				out.Inclusion[at] += 1 / r
			}
		}
		out.WithFull += Jaccard(circuits[i], out.Full) / r
	}
	for i := range circuits {
		for at, v := range means[i] {
			out.StdErr[at] += (v - sums[at]) * (v - sums[at]) / (r - 1)
		}
		for _, other := range circuits[:i] {
			out.Pairwise += Jaccard(circuits[i], other) / (r * (r - 1) / 2)
		}
	}
	for at := range out.StdErr {
		out.StdErr[at] = math.Sqrt(out.StdErr[at])
	}
	var sizes []float64
	for _, e := range edges {
		sizes = append(sizes, math.Abs(full[s.Graph.At(e)]))
	}
	slices.Sort(sizes)
	if n < len(sizes) {
		out.GapAtCut = sizes[len(sizes)-n] - sizes[len(sizes)-n-1]
	}
	out.Unstable = out.Pairwise < StableJaccard
	return out, nil
}
