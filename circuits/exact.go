package circuits

import "context"

// Exact measures every edge by itself: M with the one edge corrupted minus M on the clean input. One masked pass for every
// Options.SweepRows rows and edges.
func Exact(ctx context.Context, t *Task) (*Scores, error) {
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, err
	}
	edges := t.Graph.Edges()
	out := make([]float64, t.Pairs.Rows*t.Graph.Size())
	for from := 0; from < len(edges); from += t.copies {
		part := edges[from:min(from+t.copies, len(edges))]
		// a whole sweep compiles one program, so a last part of one edge runs with the others' shape
		masks := make([][]float32, max(len(part), min(2, t.copies)))
		for i := range masks {
			masks[i] = make([]float32, t.Graph.Size())
			if i < len(part) {
				masks[i][t.Graph.At(part[i])] = 1
			}
		}
		losses, err := t.masked(ctx, masks, cache.corrupted)
		if err != nil {
			return nil, err
		}
		for i, e := range part {
			for r := range t.Pairs.Rows {
				out[r*t.Graph.Size()+t.Graph.At(e)] = losses[i][r] - t.CleanLoss[r]
			}
		}
	}
	return t.scores("exact", out), nil
}
