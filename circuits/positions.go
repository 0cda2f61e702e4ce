package circuits

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// PositionScores are the scores of every edge at every span of positions for every row. An edge's position is where its receiver reads: a query's and
// an MLP's own, a key's and a value's the position attended to. Attention inside a head carries what it reads to other positions.
type PositionScores struct {
	Graph  *EdgeGraph
	Method string
	Spans  *Spans
	Rows   int
	Values []float64 // [rows,s,u,v]
}

// AttributePositions is MaskIG, or with steps 0 EAP, with a token axis in the edge mask: scores by position, summed within spans. Over all spans
// they add up to the scores without positions. Memory and time are those of MaskIG, but for gradients of [rows,seq,u,v].
func AttributePositions(ctx context.Context, t *Task, spans *Spans, steps int) (*PositionScores, error) {
	switch {
	case t.noEdges != nil:
		return nil, t.noEdges
	case t.metric.metric.Step:
		return nil, fmt.Errorf("circuits: metric %s is a step function and has no gradient; use logit_diff or kl", t.metric.metric.Name)
	case steps < 0:
		return nil, fmt.Errorf("circuits: integrated gradients of %d steps", steps)
	}
	if err := spans.validate(t.Pairs); err != nil {
		return nil, err
	}
	out := &PositionScores{Graph: t.Graph, Method: "eap", Spans: spans, Rows: t.Pairs.Rows}
	if steps > 0 {
		out.Method = fmt.Sprintf("mask_ig(%d)", steps)
	}
	var err error
	out.Values, err = byRow(t, func(c *Task) ([]float64, error) { return c.attributePositions(ctx, spans, steps) })
	return out, err
}

// attributePositions is AttributePositions of a task without chunks, [rows,s,u,v].
func (t *Task) attributePositions(ctx context.Context, spans *Spans, steps int) ([]float64, error) {
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, err
	}
	p, g := t.Pairs, t.Graph
	size, n, of := g.Size(), len(spans.Names), spans.rows(t)
	plan := model.Plan{Batch: p.Rows, Seq: p.Seq, Edges: &model.Edges{Batch: true, Tokens: true, GradMask: true}}
	t.metric.apply(&plan)
	out := make([]float64, p.Rows*n*size)
	for k := range max(steps, 1) {
		at := float32(0)
		if steps > 0 {
			at = float32((float64(k) + 0.5) / float64(steps))
		}
		mask := tensors.FromScalarAndDimensions(at, p.Rows, p.Seq, len(g.Senders), len(g.Receivers))
		run, err := t.run(ctx, plan, p.Clean, 1, map[string]*tensors.Tensor{"corrupted": cache.corrupted.tensor(1), "mask": mask}, nil)
		if err != nil {
			return nil, err
		}
		grad, err := floats(run.GradEdgeMask())
		if err := errors.Join(err, run.Free(), mask.FinalizeAll()); err != nil {
			return nil, err
		}
		for place, span := range of {
			if span >= 0 {
				accumulate(out[(place/p.Seq*n+span)*size:][:size], grad[place*size:][:size], 1/float64(max(steps, 1)))
			}
		}
	}
	for i := range out {
		if e := (Edge{i % size / len(g.Receivers), i % len(g.Receivers)}); !g.Real(e) {
			out[i] = 0
		}
	}
	return out, nil
}

// Mean is the mean over rows, [s,u,v].
func (s *PositionScores) Mean() []float64 {
	per := len(s.Values) / s.Rows
	var out []float64
	for r := range s.Rows {
		out = accumulate(out, s.Values[r*per:(r+1)*per], 1/float64(s.Rows))
	}
	return out
}

// Sum adds the spans up to scores without positions.
func (s *PositionScores) Sum() *Scores {
	size, n := s.Graph.Size(), len(s.Spans.Names)
	out := &Scores{Graph: s.Graph, Method: s.Method, Rows: s.Rows, Values: make([]float64, s.Rows*size)}
	for i := range s.Rows * n {
		accumulate(out.Values[i/n*size:][:size], s.Values[i*size:][:size], 1)
	}
	return out
}

// TopN keeps the n edges at spans of largest mean |score|; of equal ones those of earlier spans, senders and receivers. Nothing is pruned.
func (s *PositionScores) TopN(n int) *PositionCircuit {
	mean, size := s.Mean(), s.Graph.Size()
	var places []int
	for i := range s.Spans.Names {
		for _, e := range s.Graph.Edges() {
			places = append(places, i*size+s.Graph.At(e))
		}
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(math.Abs(mean[b]), math.Abs(mean[a])) })
	c := &PositionCircuit{Graph: s.Graph, Spans: s.Spans, Keep: make([]bool, len(mean))}
	for _, at := range places[:min(max(n, 0), len(places))] {
		c.Keep[at] = true
	}
	return c
}

// EvaluatePositions is Evaluate for circuits of edges at positions: an edge is cut at the positions where the circuit lacks it. One pass each.
func (t *Task) EvaluatePositions(ctx context.Context, ref *Reference, circuits ...*PositionCircuit) ([][]float64, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	for _, c := range circuits {
		if err := errors.Join(sameGraph(t.Graph, c.Graph), c.Spans.validate(t.Pairs)); err != nil {
			return nil, err
		}
	}
	return sweepByRow(t, len(circuits), func(part *Task) ([][]float64, error) {
		own, err := ref.of(ctx, part)
		if err != nil {
			return nil, err
		}
		var out [][]float64
		for _, c := range circuits {
			loss, err := part.evaluatePositions(ctx, own, c)
			if err != nil {
				return nil, err
			}
			out = append(out, loss)
		}
		return out, own.forget()
	})
}

// evaluatePositions is the losses of one circuit in a task without chunks.
func (t *Task) evaluatePositions(ctx context.Context, ref *Reference, c *PositionCircuit) ([]float64, error) {
	p, size := t.Pairs, t.Graph.Size()
	mask := make([]float32, p.Rows*p.Seq*size)
	for place, span := range c.Spans.rows(t) {
		if span < 0 {
			continue
		}
		for i, keep := range c.Keep[span*size : (span+1)*size] {
			if !keep {
				mask[place*size+i] = 1
			}
		}
	}
	plan := model.Plan{Batch: p.Rows, Seq: p.Seq, Edges: &model.Edges{Batch: true, Tokens: true}}
	t.metric.apply(&plan)
	given := tensors.FromFlatDataAndDimensions(mask, p.Rows, p.Seq, len(t.Graph.Senders), len(t.Graph.Receivers))
	run, err := t.run(ctx, plan, p.Clean, 1, map[string]*tensors.Tensor{"corrupted": ref.tensor(1), "mask": given}, nil)
	if err != nil {
		return nil, err
	}
	loss, err := losses(run)
	return loss, errors.Join(err, given.FinalizeAll())
}
