package circuits

import "context"

// EAP is edge attribution patching (Syed et al., arXiv:2310.10348): with a_u a sender's output and x_v a receiver's input,
//
//	s(u->v) = sum over positions (a_u^corrupted - a_u^clean) . dM/dx_v at the clean input
//
// for each row. It is the gradient in the edge mask at 0. One gradient pass.
func EAP(ctx context.Context, t *Task) (*Scores, error) {
	return t.scored("eap", func(t *Task) ([]float64, error) {
		cache, err := t.senders(ctx)
		if err != nil {
			return nil, err
		}
		_, products, err := t.gradients(ctx, t.Pairs.Clean, nil, cache.corrupted)
		return products, err
	})
}
