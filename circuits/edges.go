package circuits

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Reference is what cut senders write, [b,t,u,d]: by default their outputs on the corrupted input.
type Reference struct {
	Name   string
	values []float32
	dims   []int // b, t, u, d
	tiled  map[int]*tensors.Tensor
	part   func(ctx context.Context, c *Task) (*Reference, error) // makes a chunk's share in place of values
}

// tensor is the reference for copies repetitions of the batch.
func (r *Reference) tensor(copies int) *tensors.Tensor {
	if x, ok := r.tiled[copies]; ok {
		return x
	}
	x := tensors.FromFlatDataAndDimensions(tile(r.values, copies), r.dims[0]*copies, r.dims[1], r.dims[2], r.dims[3])
	r.tiled[copies] = x
	return x
}

// forget frees the reference's tensors.
func (r *Reference) forget() error {
	var all error
	for _, x := range r.tiled {
		all = errors.Join(all, x.FinalizeAll())
	}
	clear(r.tiled)
	return all
}

// senderCache holds the senders' outputs on both inputs.
type senderCache struct {
	clean, corrupted *Reference
	change           *Reference // corrupted - clean
}

// reference makes a Reference of values.
func (t *Task) reference(name string, values []float32) *Reference {
	dims := []int{t.Pairs.Rows, t.Pairs.Seq, len(t.Graph.Senders), t.Model.Spec.DModel}
	return &Reference{Name: name, values: values, dims: dims, tiled: map[int]*tensors.Tensor{}}
}

// senders returns the cache, running both inputs on first use. That of a task in chunks would be as large as the task; ask its chunks.
func (t *Task) senders(ctx context.Context) (*senderCache, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	if t.cache != nil {
		return t.cache, nil
	}
	if t.chunks != nil {
		return nil, errors.New("circuits: this method takes all rows at once and they do not fit the budget; raise Options.Budget or take fewer rows")
	}
	var values [2][]float32
	for i, ids := range [][]int32{t.Pairs.Clean, t.Pairs.Corrupted} {
		var err error
		if values[i], err = t.senderOutputs(ctx, ids); err != nil {
			return nil, err
		}
	}
	change := make([]float32, len(values[0]))
	for i := range change {
		change[i] = values[1][i] - values[0][i]
	}
	t.cache = &senderCache{clean: t.reference("clean", values[0]), corrupted: t.reference("patching", values[1]), change: t.reference("change", change)}
	return t.cache, nil
}

// senderOutputs runs ids plainly and returns what the senders write, [b,t,u,d].
func (t *Task) senderOutputs(ctx context.Context, ids []int32) ([]float32, error) {
	out, err := t.run(ctx, t.forwardPlan(1), ids, 1, nil, nil)
	if err != nil {
		return nil, err
	}
	x, err := tensors.CopyFlatData[float32](out.EdgeSenders())
	if err != nil {
		return nil, fmt.Errorf("circuits: %w", err)
	}
	return x, out.Free()
}

// forwardPlan is the masked pass of copies repetitions of the batch.
func (t *Task) forwardPlan(copies int) model.Plan {
	plan := model.Plan{Batch: t.Pairs.Rows * copies, Seq: t.Pairs.Seq, Edges: &model.Edges{Batch: true, Senders: copies == 1}}
	t.metric.apply(&plan)
	return plan
}

// gradientPlan is the masked pass with its gradients.
func (t *Task) gradientPlan() model.Plan {
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq, Edges: &model.Edges{Batch: true, GradMask: true, Scores: true}}
	t.metric.apply(&plan)
	return plan
}

// gradients runs ids under a mask [b,u,v] (nil: 0) that moves senders to ref, and returns the gradient in the mask and the
// products of the change between the inputs with the receivers' gradients, both [b,u,v].
func (t *Task) gradients(ctx context.Context, ids []int32, mask []float32, ref *Reference) (inMask, products []float64, err error) {
	if t.metric.metric.Step {
		return nil, nil, fmt.Errorf("circuits: metric %s is a step function and has no gradient; use logit_diff or kl, or exact edges", t.metric.metric.Name)
	}
	if t.chunks != nil {
		return t.chunkedGradients(ctx, ids, mask, ref)
	}
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, nil, err
	}
	edges := map[string]*tensors.Tensor{"corrupted": ref.tensor(1), "direction": cache.change.tensor(1)}
	if mask != nil {
		edges["mask"] = tensors.FromFlatDataAndDimensions(mask, t.Pairs.Rows, len(t.Graph.Senders), len(t.Graph.Receivers))
	}
	out, err := t.run(ctx, t.gradientPlan(), ids, 1, edges, nil)
	if err != nil {
		return nil, nil, err
	}
	if inMask, err = floats(out.GradEdgeMask()); err != nil {
		return nil, nil, err
	}
	if products, err = floats(out.EdgeScores()); err != nil {
		return nil, nil, err
	}
	return inMask, products, out.Free()
}

// chunkedGradients is gradients of a task in chunks.
func (t *Task) chunkedGradients(ctx context.Context, ids []int32, mask []float32, ref *Reference) (inMask, products []float64, err error) {
	products, err = byRow(t, func(c *Task) ([]float64, error) {
		own, err := ref.of(ctx, c)
		if err != nil {
			return nil, err
		}
		part := mask
		if mask != nil {
			part = pick(mask, c.index, t.Graph.Size())
		}
		x, p, err := c.gradients(ctx, pick(ids, c.index, t.Pairs.Seq), part, own)
		inMask = append(inMask, x[:min(len(x), c.real*t.Graph.Size())]...)
		return p, errors.Join(err, own.forget())
	})
	return inMask, products, err
}

// masked runs the clean input under each of masks (each [u,v] for all rows, or [b,u,v]) and returns each row's loss under each.
func (t *Task) masked(ctx context.Context, masks [][]float32, ref *Reference) ([][]float64, error) {
	return t.maskedFrom(ctx, 0, nil, masks, ref)
}

// maskedFrom is masked for masks that cut nothing before a block, where the passes begin with the clean stream [b,t,d]. A task in chunks
// begins at block 0.
func (t *Task) maskedFrom(ctx context.Context, from int, stream []float32, masks [][]float32, ref *Reference) ([][]float64, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	size, rows := t.Graph.Size(), t.Pairs.Rows
	if t.chunks != nil {
		return sweepByRow(t, len(masks), func(c *Task) ([][]float64, error) {
			own, err := ref.of(ctx, c)
			if err != nil {
				return nil, err
			}
			parts := slices.Clone(masks)
			for i, m := range masks {
				if len(m) == rows*size && rows > 1 {
					parts[i] = pick(m, c.index, size)
				}
			}
			out, err := c.masked(ctx, parts, own)
			return out, errors.Join(err, own.forget())
		})
	}
	copies := t.copies
	if len(masks) == 1 {
		copies = 1
	}
	out := make([][]float64, 0, len(masks))
	buffer := make([]float32, copies*rows*size)
	for first := 0; first < len(masks); first += copies {
		n := min(copies, len(masks)-first)
		for c := range n {
			mask := masks[first+c]
			for r := range rows {
				part := mask
				if len(mask) == rows*size && rows > 1 {
					part = mask[r*size : (r+1)*size]
				}
				if copy(buffer[(c*rows+r)*size:], part) != size {
					return nil, fmt.Errorf("circuits: a mask of %d values; %d senders by %d receivers need %d, or that for every row", len(mask), len(t.Graph.Senders), len(t.Graph.Receivers), size)
				}
			}
		}
		edges := map[string]*tensors.Tensor{
			"corrupted": ref.tensor(copies),
			"mask":      tensors.FromFlatDataAndDimensions(buffer, copies*rows, len(t.Graph.Senders), len(t.Graph.Receivers)),
		}
		loss, err := t.maskedRun(ctx, from, stream, copies, edges)
		if err != nil {
			return nil, err
		}
		for c := range n {
			out = append(out, loss[c*rows:(c+1)*rows])
		}
	}
	return out, nil
}

// maskedRun runs copies of the clean input with edges' tensors from a block on.
func (t *Task) maskedRun(ctx context.Context, from int, stream []float32, copies int, edges map[string]*tensors.Tensor) ([]float64, error) {
	plan := t.forwardPlan(copies)
	if from == 0 {
		result, err := t.run(ctx, plan, t.Pairs.Clean, copies, edges, nil)
		if err != nil {
			return nil, err
		}
		return losses(result)
	}
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, err
	}
	d, senders := t.Model.Spec.DModel, len(t.Graph.Senders)
	before := 1 + from*(t.Graph.Heads+1)
	wrote := make([]float32, 0, t.Pairs.Rows*t.Pairs.Seq*before*d)
	for place := range t.Pairs.Rows * t.Pairs.Seq {
		wrote = append(wrote, cache.clean.values[place*senders*d:][:before*d]...)
	}
	plan.From, plan.Edges.Senders = from, false
	in := t.inputs(copies, from, stream)
	in.Gather, in.Edges = tile(t.metric.position, copies), edges
	edges["before"] = tensors.FromFlatDataAndDimensions(tile(wrote, copies), t.Pairs.Rows*copies, t.Pairs.Seq, before, d)
	if in.Objective, err = t.metric.inputs(copies); err != nil {
		return nil, err
	}
	result, err := t.launch(ctx, plan, in)
	if err != nil {
		return nil, err
	}
	loss, err := losses(result)
	return loss, errors.Join(err, edges["before"].FinalizeAll(), in.Input.FinalizeAll())
}
