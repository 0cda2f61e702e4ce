package circuits

import (
	"context"
	"math"
)

// MeasureMinimality returns for each sender listed |m(C without it) - m(C)|: what the circuit loses with the node (Wang et al.,
// arXiv:2211.00593, with the rest of the circuit in place). A node with none does not belong.
func MeasureMinimality(ctx context.Context, t *Task, ref *Reference, c *Circuit, senders []int) ([]float64, error) {
	circuits := []*Circuit{c}
	for _, u := range senders {
		circuits = append(circuits, c.Without(u))
	}
	m, err := t.evaluateMeans(ctx, ref, circuits...)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(senders))
	for i := range out {
		out[i] = math.Abs(m[i+1] - m[0])
	}
	return out, nil
}
