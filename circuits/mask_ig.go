package circuits

import (
	"context"
	"fmt"
)

// MaskIG is integrated gradients along the edge mask, the default method:
//
//	s(u->v) = integral over 0..1 of dM/dm_uv at m = alpha on all edges
//
// by steps midpoints. The scores of a row add up to M(corrupted) - M(clean), up to the midpoint rule's error; those of EAP do
// not. One gradient pass per step.
func MaskIG(ctx context.Context, t *Task, steps int) (*Scores, error) {
	if steps < 1 {
		return nil, fmt.Errorf("circuits: integrated gradients of %d steps", steps)
	}
	return t.scored(fmt.Sprintf("mask_ig(%d)", steps), func(t *Task) ([]float64, error) {
		cache, err := t.senders(ctx)
		if err != nil {
			return nil, err
		}
		mask := make([]float32, t.Pairs.Rows*t.Graph.Size())
		var sum []float64
		for k := range steps {
			for i := range mask {
				mask[i] = float32((float64(k) + 0.5) / float64(steps))
			}
			inMask, _, err := t.gradients(ctx, t.Pairs.Clean, mask, cache.corrupted)
			if err != nil {
				return nil, err
			}
			sum = accumulate(sum, inMask, 1/float64(steps))
		}
		return sum, nil
	})
}
