package circuits

import (
	"fmt"

	"loupe/probe/model"
)

// Memory is the size of a Task's passes, estimated from shapes before anything runs, and the chunks that keep it within a budget.
type Memory struct {
	Row    int64 // bytes of one row of a pass with gradients
	Rows   int   // rows of a chunk, the same for all; the last is filled with repeats whose results are dropped
	Chunks int
	Copies int   // of a chunk in one run of a sweep
	Bytes  int64 // the largest pass: gradients of a chunk, or a sweep, which takes half as much for each of its rows
}

// EstimateMemory says how rows of seq positions would run under opt. A row holds, in four bytes each, for every position the senders'
// outputs, their references and changes, the receivers' inputs and a mask of the edges (in models without edges the given and the computed value of each block's
// patched sites), and attention patterns and logits; gradients take as much again. What is returned, the scores, is not counted. It is an error
// when a single row takes more than the budget.
func EstimateMemory(s *model.Spec, rows, seq int, opt Options) (*Memory, error) {
	if rows < 1 || seq < 1 || opt.Budget < 0 || opt.SweepRows < 0 {
		return nil, fmt.Errorf("circuits: memory of %d rows of %d positions, %d rows in a sweep, under a budget of %d bytes", rows, seq, opt.SweepRows, opt.Budget)
	}
	perToken := 8 * int64(s.Layers*s.DModel)
	if s.HasEdges() == nil {
		u, v := int64(s.EdgeSenders()), int64(s.EdgeReceivers())
		perToken = (3*u+2*v)*int64(s.DModel) + u*v
	}
	perToken += int64(s.Layers * s.Heads * seq)
	m := &Memory{Row: 2 * 4 * (int64(seq)*perToken + int64(s.Vocab)), Rows: rows, Chunks: 1}
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
	sweep := opt.SweepRows
	if sweep == 0 {
		sweep = 64
	}
	if opt.Budget > 0 {
		sweep = int(min(int64(sweep), 2*opt.Budget/m.Row))
	}
	m.Copies = max(1, sweep/m.Rows)
	m.Bytes = m.Row * int64(max(2*m.Rows, m.Copies*m.Rows)) / 2
	return m, nil
}
