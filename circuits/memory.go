package circuits

import (
	"fmt"

	"loupe/probe/model"
)

// Memory is the size of a Task's passes, estimated from shapes before anything runs, and the chunks that keep it within a budget.
type Memory struct {
	Row      int64 // bytes of one row of a pass with gradients
	SweepRow int64 // bytes of one row of a sweep, which has none
	Rows     int   // rows of a chunk, the same for all; the last is filled with repeats whose results are dropped
	Chunks   int
	Copies   int   // of a chunk in one run of a sweep
	Bytes    int64 // the largest pass
}

// EstimateMemory says how rows of seq positions would run under opt. With u senders, v receivers, L blocks of h heads and width d, in four bytes
// each, a row holds at every position ((L+7) u + 7 v) d + 2 u v + 2 L h seq values with gradients, and (5u + 2v) d + L h seq without: what senders
// write on both inputs and its change, the receivers' inputs and what is kept of them for the gradient, the change up to every block, a mask by
// position, attention patterns; and three times the logits. On the XLA CPU backend runs of four shapes (2 to 12 blocks, 16 to 157
// senders) took 68 to 100 % of that. Models without edges count 16 and 8 values of each block's width. Weights and the scores that are
// returned are not counted. It is an error when a single row takes more than the budget.
func EstimateMemory(s *model.Spec, rows, seq int, opt Options) (*Memory, error) {
	if rows < 1 || seq < 1 || opt.Budget < 0 || opt.SweepRows < 0 {
		return nil, fmt.Errorf("circuits: memory of %d rows of %d positions, %d rows in a sweep, under a budget of %d bytes", rows, seq, opt.SweepRows, opt.Budget)
	}
	l, d, n := int64(s.Layers), int64(s.DModel), int64(seq)
	gradients, plain := 16*l*d, 8*l*d // values at a position
	if s.HasEdges() == nil {
		u, v := int64(s.EdgeSenders()), int64(s.EdgeReceivers())
		gradients, plain = ((l+7)*u+7*v)*d+2*u*v, (5*u+2*v)*d
	}
	patterns, logits := l*int64(s.Heads)*n, 3*int64(s.Vocab)
	m := &Memory{Row: 4 * (n*(gradients+2*patterns) + logits), SweepRow: 4 * (n*(plain+patterns) + logits), Rows: rows, Chunks: 1}
	fit := int64(rows)
	if opt.Budget > 0 {
		fit = opt.Budget / m.Row
	}
	if fit == 0 {
		return nil, fmt.Errorf("circuits: one row of %d positions takes about %d bytes with gradients (%s of %d layers, %d heads, width %d), more than the budget of %d; raise the budget to that, or use shorter inputs",
			seq, m.Row, s.Family, s.Layers, s.Heads, s.DModel, opt.Budget)
	}
	if int64(rows) > fit {
		m.Chunks = (rows + int(fit) - 1) / int(fit)
		m.Rows = (rows + m.Chunks - 1) / m.Chunks
	}
	sweep := int64(opt.SweepRows)
	if sweep == 0 {
		sweep = 64
	}
	if opt.Budget > 0 {
		sweep = min(sweep, opt.Budget/m.SweepRow)
	}
	m.Copies = max(1, int(sweep)/m.Rows)
	m.Bytes = max(m.Row*int64(m.Rows), m.SweepRow*int64(m.Copies*m.Rows))
	return m, nil
}
