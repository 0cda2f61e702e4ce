package circuits

import (
	"context"
	"math"
)

// Completeness compares a circuit C and the model M with nodes K cut from both: |m(C\K) - m(M\K)| is small for every K when C
// lacks nothing that does the task (Wang et al., arXiv:2211.00593).
type Completeness struct {
	Cut            []string // K
	Circuit, Model float64  // mean losses
	Incompleteness float64
}

// MeasureCompleteness measures a circuit for each set of senders to cut; cutting a node removes every edge into and out of it.
func MeasureCompleteness(ctx context.Context, t *Task, ref *Reference, c *Circuit, cuts [][]int) ([]Completeness, error) {
	whole := Whole(t.Graph)
	var circuits []*Circuit
	for _, cut := range cuts {
		circuits = append(circuits, c.Without(cut...), whole.Without(cut...))
	}
	m, err := t.evaluateMeans(ctx, ref, circuits...)
	if err != nil {
		return nil, err
	}
	out := make([]Completeness, len(cuts))
	for i, cut := range cuts {
		names := make([]string, len(cut))
		for j, u := range cut {
			names[j] = t.Graph.Senders[u]
		}
		out[i] = Completeness{names, m[2*i], m[2*i+1], math.Abs(m[2*i] - m[2*i+1])}
	}
	return out, nil
}
