package circuits

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Exact measures every edge by itself: M with the one edge corrupted minus M on the clean input. With nothing else changed, an edge
// moves what its receiver reads by a_u^corrupted - a_u^clean, so a pass begins at the receiver's block, with the clean residual stream from a
// cache, and Options.SweepRows rows and edges run side by side. One program for each block, and one for the edges into the logits.
func Exact(ctx context.Context, t *Task) (*Scores, error) {
	edges, err := ExactEdges(ctx, t, t.allEdges())
	if err != nil {
		return nil, err
	}
	out := make([]float64, t.Pairs.Rows*t.Graph.Size())
	for i, e := range t.allEdges() {
		for r := range t.Pairs.Rows {
			out[r*t.Graph.Size()+t.Graph.At(e)] = edges[i][r]
		}
	}
	return t.scores("exact", out), nil
}

// allEdges lists the graph's edges; none for models without.
func (t *Task) allEdges() []Edge {
	if t.Graph == nil {
		return nil
	}
	return t.Graph.Edges()
}

// ExactEdges is Exact for some edges: what corrupting each adds to each row's loss, [edges][rows].
func ExactEdges(ctx context.Context, t *Task, edges []Edge) ([][]float64, error) {
	return sweepByRow(t, len(edges), func(c *Task) ([][]float64, error) { return c.exactEdges(ctx, edges) })
}

// exactEdges is ExactEdges of a task without chunks.
func (t *Task) exactEdges(ctx context.Context, edges []Edge) ([][]float64, error) {
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, err
	}
	s, p := t.Model.Spec, t.Pairs
	stream, err := t.blocks(ctx, p.Clean, model.ResidPre, model.ResidPost)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(edges))
	into := make([][]int, s.Layers+1) // edges by the receiver's block; the logits last
	for i, e := range edges {
		if !t.Graph.Real(e) {
			return nil, fmt.Errorf("circuits: sender %d does not feed receiver %d", e.U, e.V)
		}
		into[e.V/(3*s.Heads+1)] = append(into[e.V/(3*s.Heads+1)], i)
	}
	for layer, list := range into {
		for from := 0; from < len(list); from += t.copies {
			part := list[from:min(from+t.copies, len(list))]
			loss, err := t.oneEdge(ctx, stream, cache.change.values, layer, edges, part)
			if err != nil {
				return nil, err
			}
			for c, i := range part {
				out[i] = make([]float64, p.Rows)
				for r := range out[i] {
					out[i][r] = loss[c*p.Rows+r] - t.CleanLoss[r]
				}
			}
		}
	}
	return out, nil
}

// oneEdge runs copies of the batch, in each of which one of the listed edges into a block, or into the logits behind the last, is corrupted.
func (t *Task) oneEdge(ctx context.Context, stream map[model.Kind][][]float32, change []float32, layer int, edges []Edge, list []int) ([]float64, error) {
	s, p := t.Model.Spec, t.Pairs
	rows, per := p.Rows*t.copies, p.Seq*s.DModel
	plan := model.Plan{Batch: rows, Seq: p.Seq, From: layer, Receiver: true}
	logits := layer == s.Layers
	if logits {
		plan.From, plan.Receiver = layer-1, false
		plan.Edits = []model.Edit{{Site: model.ResidPost, Layers: []int{layer - 1}, Replace: true}}
	}
	t.metric.apply(&plan)
	program, err := t.Engine.Compile(s, plan)
	if err != nil {
		return nil, err
	}
	objective, err := t.metric.inputs(t.copies)
	if err != nil {
		return nil, err
	}
	in := model.Inputs{IDs: tile(p.Clean, t.copies), Gather: tile(t.metric.position, t.copies), Objective: objective}
	if p.Mask != nil {
		in.Mask = tile(p.Mask, t.copies)
	}
	if plan.From > 0 {
		in.Input = tensors.FromFlatDataAndDimensions(tile(stream[model.ResidPre][plan.From], t.copies), rows, p.Seq, s.DModel)
	}
	receivers := 3*s.Heads + 1
	moved, pick := make([]float32, rows*per), make([]float32, rows*receivers)
	for c, i := range list {
		e := edges[i]
		for r := range p.Rows {
			row := c*p.Rows + r
			for at := range p.Seq {
				copy(moved[row*per+at*s.DModel:][:s.DModel], change[((r*p.Seq+at)*len(t.Graph.Senders)+e.U)*s.DModel:])
			}
			if !logits {
				pick[row*receivers+e.V%receivers] = 1
			}
		}
	}
	var given, where *tensors.Tensor
	if logits {
		last := stream[model.ResidPost][s.Layers-1]
		for i := range moved {
			moved[i] += last[i%len(last)]
		}
		ones := make([]float32, rows*p.Seq)
		for i := range ones {
			ones[i] = 1
		}
		given, where = tensors.FromFlatDataAndDimensions(moved, rows, p.Seq, s.DModel), tensors.FromFlatDataAndDimensions(ones, 1, rows, p.Seq)
		in.Edits = []map[string]*tensors.Tensor{{"source": given, "where": where}}
	} else {
		given = tensors.FromFlatDataAndDimensions(moved, rows, p.Seq, s.DModel)
		where = tensors.FromFlatDataAndDimensions(pick, rows, receivers)
		in.Edges = map[string]*tensors.Tensor{"change": given, "pick": where}
	}
	result, err := t.pass(ctx, program, in)
	if err != nil {
		return nil, err
	}
	loss, err := losses(result)
	err = errors.Join(err, given.FinalizeAll(), where.FinalizeAll())
	if in.Input != nil {
		err = errors.Join(err, in.Input.FinalizeAll())
	}
	return loss, err
}
