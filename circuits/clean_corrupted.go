package circuits

import "context"

// CleanCorrupted is EAP with the mean of the gradients at the clean and at the corrupted input (Hanna et al.,
// arXiv:2403.17806). Two gradient passes.
func CleanCorrupted(ctx context.Context, t *Task) (*Scores, error) {
	return t.scored("clean_corrupted", func(t *Task) ([]float64, error) {
		cache, err := t.senders(ctx)
		if err != nil {
			return nil, err
		}
		var sum []float64
		for _, ids := range [][]int32{t.Pairs.Clean, t.Pairs.Corrupted} {
			_, products, err := t.gradients(ctx, ids, nil, cache.corrupted)
			if err != nil {
				return nil, err
			}
			sum = accumulate(sum, products, 0.5)
		}
		return sum, nil
	})
}
