package circuits

import "context"

// Evaluate returns each row's loss for each circuit: edges outside it are cut, x_v += sum_u (r_u - a_u) with a_u taken in the
// same pass. Circuits run together, Options.SweepRows rows at a time.
func (t *Task) Evaluate(ctx context.Context, ref *Reference, circuits ...*Circuit) ([][]float64, error) {
	masks := make([][]float32, len(circuits))
	for i, c := range circuits {
		masks[i] = c.mask()
	}
	return t.masked(ctx, masks, ref)
}

// evaluateMeans is Evaluate averaged over rows.
func (t *Task) evaluateMeans(ctx context.Context, ref *Reference, circuits ...*Circuit) ([]float64, error) {
	rows, err := t.Evaluate(ctx, ref, circuits...)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = mean(r)
	}
	return out, nil
}
