package circuits

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// AUROC is the area under the ROC curve of the ranking of edges by |score| [u,v] against a known circuit: the probability that an edge of
// the circuit ranks above one outside it, a tie counting one half. Only edges of the truth's graph count, so both sets are of the same edges.
// It is over all thresholds, where MIB (Mueller et al., arXiv:2504.13151) takes those of its circuit sizes. An error when the circuit holds
// no edge or all of them.
func AUROC(scores []float64, truth *Circuit) (float64, error) {
	g := truth.Graph
	if len(scores) != g.Size() {
		return 0, fmt.Errorf("circuits: AUROC of %d scores; the graph of the known circuit has %d senders by %d receivers", len(scores), len(g.Senders), len(g.Receivers))
	}
	type edge struct {
		score float64
		in    bool
	}
	var edges []edge
	in := 0
	for _, e := range g.Edges() {
		at := g.At(e)
		if math.IsNaN(scores[at]) {
			return 0, fmt.Errorf("circuits: AUROC: the score of %s is not a number", g.Name(e))
		}
		edges = append(edges, edge{math.Abs(scores[at]), truth.Keep[at]})
		if truth.Keep[at] {
			in++
		}
	}
	out := len(edges) - in
	if in == 0 || out == 0 {
		return 0, fmt.Errorf("circuits: AUROC against a circuit of %d of %d edges; it needs edges inside and outside", in, len(edges))
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.score, b.score) })
	var ranks float64 // of the circuit's edges, ties sharing their mean
	for from := 0; from < len(edges); {
		to := from
		for to < len(edges) && edges[to].score == edges[from].score {
			to++
		}
		for _, e := range edges[from:to] {
			if e.in {
				ranks += float64(from+to+1) / 2
			}
		}
		from = to
	}
	return (ranks - float64(in)*float64(in+1)/2) / (float64(in) * float64(out)), nil
}
