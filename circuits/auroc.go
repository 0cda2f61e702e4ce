package circuits

import (
	"fmt"
	"math"

	"loupe/internal/stats"
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
	var size []float64
	var in []bool
	for _, e := range g.Edges() {
		at := g.At(e)
		if math.IsNaN(scores[at]) {
			return 0, fmt.Errorf("circuits: AUROC: the score of %s is not a number", g.Name(e))
		}
		size, in = append(size, math.Abs(scores[at])), append(in, truth.Keep[at])
	}
	if n := truth.Len(); n == 0 || n == len(in) {
		return 0, fmt.Errorf("circuits: AUROC against a circuit of %d of %d edges; it needs edges inside and outside", n, len(in))
	}
	area, err := stats.AUC(size, in)
	if err != nil {
		return 0, fmt.Errorf("circuits: AUROC: %w", err)
	}
	return area, nil
}
