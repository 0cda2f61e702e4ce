package circuits

import (
	"context"
	"errors"
)

// A Task over more rows than its budget holds is made of chunks, each a Task of its own over rows of one shape, and holds the senders' outputs
// of one chunk at a time. Methods run chunk by chunk and join the rows.

// split makes the chunks of a task whose rows do not fit at once.
func (t *Task) split() {
	m := t.memory
	if m.Chunks == 1 {
		return
	}
	for from := 0; from < t.Pairs.Rows; from += m.Rows {
		index := make([]int, m.Rows)
		for i := range index {
			index[i] = min(from+i, t.Pairs.Rows-1)
		}
		t.chunks = append(t.chunks, t.part(index, min(m.Rows, t.Pairs.Rows-from)))
	}
}

// part is a task over the rows listed, of which the first real count.
func (t *Task) part(index []int, real int) *Task {
	return &Task{
		Engine: t.Engine, Model: t.Model, Pairs: t.Pairs.pick(index), Graph: t.Graph, memory: t.memory, metric: t.metric.pick(index),
		copies: t.copies, opt: t.opt, noEdges: t.noEdges, index: index, real: real,
	}
}

// each calls f with every chunk, or with the task itself when it has none. What a chunk caches is dropped behind it.
func (t *Task) each(f func(c *Task) error) error {
	if t.chunks == nil {
		return f(t)
	}
	for _, c := range t.chunks {
		if err := errors.Join(f(c), c.forget()); err != nil {
			return err
		}
	}
	return nil
}

// byRow joins what f returns of each chunk, values whose leading axis is rows.
func byRow[T any](t *Task, f func(c *Task) ([]T, error)) ([]T, error) {
	var out []T
	err := t.each(func(c *Task) error {
		x, err := f(c)
		if err != nil {
			return err
		}
		out = append(out, x[:len(x)/c.Pairs.Rows*c.real]...)
		return nil
	})
	return out, err
}

// sweepByRow joins lists of n whose entries have rows as the leading axis.
func sweepByRow(t *Task, n int, f func(c *Task) ([][]float64, error)) ([][]float64, error) {
	out := make([][]float64, n)
	err := t.each(func(c *Task) error {
		x, err := f(c)
		if err != nil {
			return err
		}
		for i := range out {
			out[i] = append(out[i], x[i][:c.real]...)
		}
		return nil
	})
	return out, err
}

// scored makes Scores of what f returns of each chunk, [rows,u,v].
func (t *Task) scored(method string, f func(c *Task) ([]float64, error)) (*Scores, error) {
	values, err := byRow(t, f)
	if err != nil {
		return nil, err
	}
	return t.scores(method, values), nil
}

// forget drops what a chunk caches.
func (t *Task) forget() error {
	if t.cache == nil {
		return nil
	}
	c := t.cache
	t.cache = nil
	return errors.Join(c.clean.forget(), c.corrupted.forget(), c.change.forget())
}

// pick is the rows of the pairs listed, repetitions counted.
func (p *Pairs) pick(index []int) *Pairs {
	out := &Pairs{Rows: len(index), Seq: p.Seq, Clean: pick(p.Clean, index, p.Seq), Corrupted: pick(p.Corrupted, index, p.Seq)}
	if p.Mask != nil {
		out.Mask = pick(p.Mask, index, p.Seq)
	}
	if p.Answer != nil {
		out.Answer = pick(p.Answer, index, 1)
	}
	if p.Wrong != nil {
		out.Wrong = pick(p.Wrong, index, 1)
	}
	return out
}

// pick is the binding for the rows listed, with as many tokens a row as the whole batch has.
func (b *binding) pick(index []int) *binding {
	return &binding{
		metric: b.metric, pairs: b.pairs.pick(index), width: b.width, k: b.k,
		tokens: pick(b.tokens, index, b.k), weights: pick(b.weights, index, b.k), position: pick(b.position, index, 1),
	}
}

// pick is the rows listed of x, whose rows have per values.
func pick[T any](x []T, index []int, per int) []T {
	out := make([]T, 0, len(index)*per)
	for _, r := range index {
		out = append(out, x[r*per:(r+1)*per]...)
	}
	return out
}

// of is the reference for a chunk.
func (r *Reference) of(ctx context.Context, c *Task) (*Reference, error) {
	switch {
	case c.index == nil:
		return r, nil
	case r.part != nil:
		return r.part(ctx, c)
	}
	return c.reference(r.Name, pick(r.values, c.index, len(r.values)/r.dims[0])), nil
}
