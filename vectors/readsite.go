package vectors

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// Pool makes one row of a text.
type Pool string

// Pools: the mean over all tokens, the last token.
const (
	PoolMean Pool = "mean"
	PoolLast Pool = "last"
)

// ReadSites returns the activations of texts at some sites, one row a text [n, d], pooled over their tokens; interventions, nil
// for none, act at every position. Texts run in batches of the given size at one sequence length, so that one program serves
// all of them.
func ReadSites(ctx context.Context, e *model.Engine, m *model.Model, texts [][]int32, sites []model.Site, pool Pool, batch int, list []Placed) (out []*mat.Dense, err error) {
	if len(texts) == 0 || len(sites) == 0 || batch < 1 {
		return nil, fmt.Errorf("vectors: read %d sites of %d texts in batches of %d: %w", len(sites), len(texts), batch, ErrArgument)
	}
	reduce := model.TokenMean
	if pool == PoolLast {
		reduce = model.Gathered
	} else if pool != PoolMean {
		return nil, fmt.Errorf("vectors: pool %q: %w; it is %q or %q", pool, ErrArgument, PoolMean, PoolLast)
	}
	longest := 0
	for i, ids := range texts {
		if len(ids) == 0 {
			return nil, fmt.Errorf("vectors: read: text %d has no token: %w", i, ErrArgument)
		}
		longest = max(longest, len(ids))
	}
	plan := model.Plan{Batch: batch, Seq: paddedLength(m.Spec, longest), Gather: 1}
	for _, s := range sites {
		plan.Captures = append(plan.Captures, model.Capture{Site: s, Reduce: reduce})
		plan.To = max(plan.To, s.Layer+1)
		if !s.Kind.InBlock() {
			plan.To = m.Spec.Layers
		}
		out = append(out, mat.NewDense(len(texts), m.Spec.Width(s.Kind, plan.Seq), nil))
	}
	var values []map[string]*tensors.Tensor
	if plan.Edits, values, err = Edits(m.Spec, list, batch, plan.Seq, nil); err != nil {
		return nil, err
	}
	program, err := e.Compile(m.Spec, plan)
	if err != nil {
		return nil, fmt.Errorf("vectors: read: %w", err)
	}
	for lo := 0; lo < len(texts); lo += batch {
		part := texts[lo:min(lo+batch, len(texts))]
		in := rightPadded(part, batch, plan.Seq)
		in.Edits = values
		if err := readBatch(ctx, program, m, in, plan.Captures, lo, len(part), out); err != nil {
			return nil, fmt.Errorf("vectors: read: %w", err)
		}
	}
	return out, nil
}

// readBatch runs one batch and copies its rows to lo.. of out.
func readBatch(ctx context.Context, p *model.Program, m *model.Model, in model.Inputs, captures []model.Capture, lo, n int, out []*mat.Dense) (err error) {
	got, err := p.Run(ctx, m.Params, in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, got.Free()) }()
	for i, c := range captures {
		flat, err := tensors.CopyFlatData[float32](got.Capture(c))
		if err != nil {
			return err
		}
		_, d := out[i].Dims()
		for r := range n {
			out[i].SetRow(lo+r, float64s(flat[r*d:(r+1)*d]))
		}
	}
	return nil
}

// rightPadded are the inputs of texts in the first rows of a batch, Gather their last tokens; rows beyond repeat the last text.
func rightPadded(texts [][]int32, batch, seq int) model.Inputs {
	in := model.Inputs{IDs: make([]int32, batch*seq), Mask: make([]int32, batch*seq), Gather: make([]int32, batch)}
	for r := range batch {
		ids := texts[min(r, len(texts)-1)]
		copy(in.IDs[r*seq:], ids)
		for i := range ids {
			in.Mask[r*seq+i] = 1
		}
		in.Gather[r] = int32(len(ids) - 1)
	}
	return in
}

// paddedLength is n rounded up to 16, where the model has room, so that texts of similar length share a program.
func paddedLength(s *model.Spec, n int) int {
	if padded := (n + 15) / 16 * 16; s.MaxPos == 0 || padded <= s.MaxPos {
		return padded
	}
	return n
}
