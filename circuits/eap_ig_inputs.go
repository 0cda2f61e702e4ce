package circuits

import (
	"context"
	"fmt"
)

// EAPIGInputs is EAP with gradients averaged along the line between the embeddings of the two inputs (Hanna et al.,
// arXiv:2403.17806): at e_corrupted + k/steps (e_clean - e_corrupted), k = 0..steps-1, so the corrupted end is on the path and
// the clean one is not. Its scores need not add up to the effect. One gradient pass per step.
func EAPIGInputs(ctx context.Context, t *Task, steps int) (*Scores, error) {
	if steps < 1 {
		return nil, fmt.Errorf("circuits: EAP-IG of %d steps", steps)
	}
	return t.scored(fmt.Sprintf("eap_ig_inputs(%d)", steps), func(t *Task) ([]float64, error) {
		cache, err := t.senders(ctx)
		if err != nil {
			return nil, err
		}
		var sum []float64
		move := t.rowsOf([]int{0}) // moving the input sender at every receiver is moving the embeddings
		for k := range steps {
			_, products, err := t.gradients(ctx, t.Pairs.Clean, move, t.between(cache, float64(k)/float64(steps)))
			if err != nil {
				return nil, err
			}
			sum = accumulate(sum, products, 1/float64(steps))
		}
		return sum, nil
	})
}

// between is the reference share clean + (1-share) corrupted.
func (t *Task) between(cache *senderCache, share float64) *Reference {
	values := make([]float32, len(cache.clean.values))
	for i := range values {
		values[i] = float32(share*float64(cache.clean.values[i]) + (1-share)*float64(cache.corrupted.values[i]))
	}
	return t.reference("between", values)
}

// rowsOf is the mask [b,u,v] that moves the senders listed at every receiver they feed.
func (t *Task) rowsOf(senders []int) []float32 {
	v, size := len(t.Graph.Receivers), t.Graph.Size()
	mask := make([]float32, t.Pairs.Rows*size)
	for r := range t.Pairs.Rows {
		for _, u := range senders {
			for i := range v {
				mask[r*size+u*v+i] = 1
			}
		}
	}
	return mask
}
