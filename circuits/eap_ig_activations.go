package circuits

import (
	"context"
	"fmt"
)

// Path says which senders EAPIGActivations moves together.
type Path string

// Paths: each sender alone; all heads of a layer together; and the released rule of EAP-IG, which moves sub-layers and counts
// the gradients at all receivers for all senders on every path, divided by their number.
const (
	PathSender   Path = "sender"
	PathSubLayer Path = "sublayer"
	PathCompat   Path = "compat"
)

// EAPIGActivations integrates along the senders' own outputs: sender u is set to k/steps clean + (1-k/steps) corrupted,
// k = 1..steps, and only the edges that leave it take the mean gradient. PathCompat reproduces the released code of Hanna et al.
// (arXiv:2403.17806), whose sums run over all edges and paths divided by their number, 2 layers + 1. One gradient pass per
// path and step.
func EAPIGActivations(ctx context.Context, t *Task, path Path, steps int) (*Scores, error) {
	if steps < 1 {
		return nil, fmt.Errorf("circuits: EAP-IG of %d steps", steps)
	}
	return t.scored(fmt.Sprintf("eap_ig_activations(%s,%d)", path, steps), func(t *Task) ([]float64, error) {
		cache, err := t.senders(ctx)
		if err != nil {
			return nil, err
		}
		groups, err := t.paths(path)
		if err != nil {
			return nil, err
		}
		v, size := len(t.Graph.Receivers), t.Graph.Size()
		out := make([]float64, t.Pairs.Rows*size)
		for k := 1; k <= steps; k++ {
			ref := t.between(cache, float64(k)/float64(steps))
			for _, group := range groups {
				_, products, err := t.gradients(ctx, t.Pairs.Clean, t.rowsOf(group), ref)
				if err != nil {
					return nil, err
				}
				if path == PathCompat {
					accumulate(out, products, 1/float64(steps*len(groups)))
					continue
				}
				for r := range t.Pairs.Rows {
					for _, u := range group {
						at := r*size + u*v
						accumulate(out[at:at+v], products[at:at+v], 1/float64(steps))
					}
				}
			}
		}
		return out, nil
	})
}

// paths groups the senders that move together.
func (t *Task) paths(path Path) ([][]int, error) {
	var out [][]int
	switch path {
	case PathSender:
		for u := range t.Graph.Senders {
			out = append(out, []int{u})
		}
	case PathSubLayer, PathCompat:
		out = append(out, []int{0})
		for l := range t.Graph.Layers {
			first := 1 + l*(t.Graph.Heads+1)
			var heads []int
			for h := range t.Graph.Heads {
				heads = append(heads, first+h)
			}
			out = append(out, heads, []int{first + t.Graph.Heads})
		}
	default:
		return nil, fmt.Errorf("circuits: path %q is none of %s, %s, %s", path, PathSender, PathSubLayer, PathCompat)
	}
	return out, nil
}
