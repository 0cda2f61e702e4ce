package circuits

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// PathEffects are the losses after patching the direct paths from one sender at a time to some receivers.
type PathEffects struct {
	Receivers []string
	Loss      [][]float64 // [senders][rows]; a sender that feeds none of the receivers has the clean loss
}

// PathPatch is path patching (Wang et al., arXiv:2211.00593; Goldowsky-Dill et al., arXiv:2304.05969) of every sender in turn: what the receivers
// read of the sender directly, through no other head and no MLP, is moved to the sender's output on the corrupted input,
//
//	x_v <- x_v + a_u^corrupted - a_u    for v among receivers
//
// and what the receivers make of it flows on. Over all receivers it is patching the node. Receivers are named as in edges: "a1.h0<k>", "m1", "logits".
// One masked pass for every Options.SweepRows rows and senders. PatchPath freezes what is off one path of several steps.
func PathPatch(ctx context.Context, t *Task, receivers []string) (*PathEffects, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	g := t.Graph
	var into []int
	for _, name := range receivers {
		v, ok := g.receiver[name]
		if !ok {
			return nil, fmt.Errorf("circuits: no receiver %q; heads receive as a0.h0<q>, <k> or <v>, and the rest are m0 to m%d and logits", name, g.Layers-1)
		}
		into = append(into, v)
	}
	if len(into) == 0 {
		return nil, errors.New("circuits: path patching into no receiver")
	}
	ref, err := t.Reference(ctx, Patching, 0)
	if err != nil {
		return nil, err
	}
	out := &PathEffects{Receivers: slices.Clone(receivers), Loss: make([][]float64, len(g.Senders))}
	var masks [][]float32
	var senders []int
	for u := range g.Senders {
		mask, feeds := make([]float32, g.Size()), false
		for _, v := range into {
			if e := (Edge{u, v}); g.Real(e) {
				mask[g.At(e)], feeds = 1, true
			}
		}
		if !feeds {
			out.Loss[u] = slices.Clone(t.CleanLoss)
			continue
		}
		masks, senders = append(masks, mask), append(senders, u)
	}
	losses, err := t.masked(ctx, masks, ref)
	if err != nil {
		return nil, err
	}
	for i, u := range senders {
		out.Loss[u] = losses[i]
	}
	return out, nil
}

// PatchPath patches one path and returns each row's loss: the first node is a sender, every further one a receiver, such as "a0.h0",
// "a1.h0<k>", "logits". The sender takes its output on the corrupted input for the first receiver alone; what that receiver's node makes of it is given to
// the second receiver alone, and so on, each node computed with all else as on the clean input (Goldowsky-Dill et al., arXiv:2304.05969). A path
// that does not end in "logits" ends in a node whose new output flows on freely (Wang et al., arXiv:2211.00593). One masked pass per step.
func PatchPath(ctx context.Context, t *Task, nodes ...string) ([]float64, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	if len(nodes) < 2 {
		return nil, fmt.Errorf("circuits: a path of %d nodes; name a sender and at least one receiver", len(nodes))
	}
	from := nodes[0]
	path := make([]Edge, len(nodes)-1)
	for i, to := range nodes[1:] {
		e, err := t.Graph.Parse(from + "->" + to)
		if err != nil {
			return nil, err
		}
		path[i] = e
		if o := t.Graph.Owner[e.V]; o >= 0 {
			from = t.Graph.Senders[o]
		} else if i < len(path)-1 {
			return nil, fmt.Errorf("circuits: %s is the end of a path; nothing is behind it", to)
		}
	}
	return byRow(t, func(c *Task) ([]float64, error) { return c.patchPath(ctx, path) })
}

// patchPath is PatchPath of a task without chunks.
func (t *Task) patchPath(ctx context.Context, path []Edge) ([]float64, error) {
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, err
	}
	ref := t.reference("path", slices.Clone(cache.corrupted.values))
	for i, e := range path {
		mask := make([]float32, t.Graph.Size())
		mask[t.Graph.At(e)] = 1
		edges := map[string]*tensors.Tensor{
			"corrupted": ref.tensor(1),
			"mask":      tensors.FromFlatDataAndDimensions(tile(mask, t.Pairs.Rows), t.Pairs.Rows, len(t.Graph.Senders), len(t.Graph.Receivers)),
		}
		out, err := t.run(ctx, t.forwardPlan(1), t.Pairs.Clean, 1, edges, nil)
		if err := errors.Join(err, ref.forget()); err != nil {
			return nil, err
		}
		if i == len(path)-1 {
			return losses(out)
		}
		// only this node has changed of all that the next step reads
		if ref.values, err = tensors.CopyFlatData[float32](out.EdgeSenders()); err != nil {
			return nil, fmt.Errorf("circuits: %w", err)
		}
		if err := out.Free(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("circuits: an empty path")
}
