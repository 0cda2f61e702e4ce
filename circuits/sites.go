package circuits

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// SiteValues are values of sites in one pass, each flattened from the site's own shape ([rows,seq,width], [rows,seq,heads,width]).
type SiteValues map[model.Site][]float32

// SiteGradients are the losses of a pass and their gradients at sites, in the sites' shapes.
type SiteGradients struct {
	Loss []float64 // [rows]
	At   map[model.Site][]float64
}

// forwardOrder lists the kinds of a block that have a token axis in the order in which a pass computes them.
var forwardOrder = []model.Kind{
	model.ResidPre, model.LN1Normalized, model.LN1Out, model.Q, model.K, model.V, model.RotQ, model.RotK, model.Z, model.Result, model.AttnSubOut, model.AttnOut,
	model.ResidMid, model.LN2Normalized, model.LN2Out, model.MLPIn, model.MLPPre, model.MLPPreLinear, model.MLPPost, model.MLPSubOut, model.MLPOut,
	model.ResidPost, model.NormalizedResidPost,
}

// CompareSites orders sites by the place at which a pass computes them; embeddings come first and what follows the blocks last.
func CompareSites(a, b model.Site) int {
	place := func(s model.Site) (block, order int) {
		switch {
		case s.Kind.InBlock():
			return s.Layer, slices.Index(forwardOrder, s.Kind)
		case s.Kind == model.Embed || s.Kind == model.PosEmbed:
			return -1, int(s.Kind)
		}
		return 1 << 30, int(s.Kind)
	}
	la, oa := place(a)
	lb, ob := place(b)
	return cmp.Or(cmp.Compare(la, lb), cmp.Compare(oa, ob))
}

// checkSites refuses sites without a position axis, or whose place in the pass is not ordered.
func (t *Task) checkSites(sites []model.Site) error {
	seen := map[model.Site]bool{}
	for _, s := range sites {
		if err := t.Model.Spec.Has(s); err != nil {
			return err
		}
		axes := s.Kind.Axes()
		if len(axes) < 3 || axes[:2] != "bt" || axes[2] == '1' || s.Kind.InBlock() && !slices.Contains(forwardOrder, s.Kind) {
			return fmt.Errorf("circuits: site %s has no vector at every position; choose one like %s or %s", s, model.ResidPre.Name(), model.Z.Name())
		}
		if seen[s] {
			return fmt.Errorf("circuits: site %s is named twice", s)
		}
		seen[s] = true
	}
	return nil
}

// CaptureSites returns the values of sites on ids, the clean or the corrupted tokens of the task's pairs.
func (t *Task) CaptureSites(ctx context.Context, ids []int32, sites []model.Site) (SiteValues, error) {
	if err := t.checkSites(sites); err != nil {
		return nil, err
	}
	if t.chunks != nil {
		all := SiteValues{}
		return all, t.each(func(c *Task) error {
			part, err := c.CaptureSites(ctx, pick(ids, c.index, t.Pairs.Seq), sites)
			join(c, all, part)
			return err
		})
	}
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq}
	for _, s := range sites {
		plan.Captures = append(plan.Captures, model.Capture{Site: s})
	}
	t.metric.apply(&plan)
	out, err := t.run(ctx, plan, ids, 1, nil, nil)
	if err != nil {
		return nil, err
	}
	values := SiteValues{}
	for _, s := range sites {
		if values[s], err = tensors.CopyFlatData[float32](out.Site(s)); err != nil {
			return nil, fmt.Errorf("circuits: %w", errors.Join(err, out.Free()))
		}
	}
	return values, out.Free()
}

// replace compiles the replacement of sites into a plan and returns its run-time tensors: held sites take their values, repeated for
// every copy of the batch that the plan has, and others keep their own.
func (t *Task) replace(plan *model.Plan, sites []model.Site, held SiteValues) ([]map[string]*tensors.Tensor, error) {
	var edits []map[string]*tensors.Tensor
	for _, s := range sites {
		plan.Edits = append(plan.Edits, model.Edit{Site: s.Kind, Layers: []int{s.Layer}, Replace: true})
		value, ok := held[s]
		if !ok {
			edits = append(edits, nil)
			continue
		}
		dims := t.Model.Spec.Dims(s.Kind, plan.Batch, t.Pairs.Seq)
		size := 1
		for _, n := range dims {
			size *= n
		}
		if len(value) == 0 || size%len(value) != 0 {
			return nil, fmt.Errorf("circuits: %d values for site %s of shape %v", len(value), s, dims)
		}
		edits = append(edits, map[string]*tensors.Tensor{
			"source": tensors.FromFlatDataAndDimensions(tile(value, size/len(value)), dims...),
			"where":  tensors.FromScalarAndDimensions(float32(1), append([]int{1}, dims[:len(dims)-1]...)...),
		})
	}
	return edits, nil
}

// GradientsAt runs the clean input with the held sites' values put in place and returns each row's loss and its gradient at every one of
// sites. What comes before a held site reaches the loss only past it, so with all sites held the gradients are those of direct paths.
// Which sites are held is a run-time matter: one program for one list of sites.
func (t *Task) GradientsAt(ctx context.Context, sites []model.Site, held SiteValues) (*SiteGradients, error) {
	if t.metric.metric.Step {
		return nil, fmt.Errorf("circuits: metric %s is a step function and has no gradient", t.metric.metric.Name)
	}
	if err := t.checkSites(sites); err != nil {
		return nil, err
	}
	if t.chunks != nil {
		all := &SiteGradients{At: map[model.Site][]float64{}}
		return all, t.each(func(c *Task) error {
			part, err := c.GradientsAt(ctx, sites, held.of(t, c))
			if err == nil {
				join(c, all.At, part.At)
				all.Loss = append(all.Loss, part.Loss[:c.real]...)
			}
			return err
		})
	}
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq, GradSites: sites}
	edits, err := t.replace(&plan, sites, held)
	if err != nil {
		return nil, err
	}
	t.metric.apply(&plan)
	out, err := t.run(ctx, plan, t.Pairs.Clean, 1, nil, edits)
	if err != nil {
		return nil, err
	}
	g := &SiteGradients{At: map[model.Site][]float64{}}
	if g.Loss, err = floats(out.ObjectiveRows()); err != nil {
		return nil, errors.Join(err, out.Free())
	}
	for _, s := range sites {
		if g.At[s], err = floats(out.Grad(s)); err != nil {
			return nil, errors.Join(err, out.Free())
		}
	}
	return g, out.Free()
}

// Pull returns, for each of weights (of the target site's shape), the gradient of sum(weights * value of target) at the sites before it on
// the clean input, each by the paths that avoid the others: clean holds the clean value of every one of them, which is put in place, so that
// nothing passes through. It computes the blocks from the first of the sites (where clean has its block's hook_resid_pre too) to the target
// and no others; Options.SweepRows rows and weights run side by side.
func (t *Task) Pull(ctx context.Context, target model.Site, weights [][]float32, at []model.Site, clean SiteValues) ([]map[model.Site][]float64, error) {
	if err := t.checkSites(append(slices.Clone(at), target)); err != nil {
		return nil, err
	}
	if !target.Kind.InBlock() {
		return nil, fmt.Errorf("circuits: gradients are pulled from a site inside the blocks, not from %s", target)
	}
	if len(at) == 0 || len(weights) == 0 {
		return nil, fmt.Errorf("circuits: %d directions of %s to pull back to %d sites", len(weights), target, len(at))
	}
	if t.chunks != nil {
		all := make([]map[model.Site][]float64, len(weights))
		return all, t.each(func(c *Task) error {
			own := make([][]float32, len(weights))
			for i, w := range weights {
				own[i] = pick(w, c.index, len(w)/t.Pairs.Rows)
			}
			parts, err := c.Pull(ctx, target, own, at, clean.of(t, c))
			for i := range parts {
				if all[i] == nil {
					all[i] = map[model.Site][]float64{}
				}
				join(c, all[i], parts[i])
			}
			return err
		})
	}
	first := target.Layer
	for _, s := range at {
		if CompareSites(s, target) >= 0 {
			return nil, fmt.Errorf("circuits: site %s does not come before %s", s, target)
		}
		if clean[s] == nil {
			return nil, fmt.Errorf("circuits: no clean value of site %s", s)
		}
		if !s.Kind.InBlock() {
			first = 0
		}
		first = min(first, s.Layer)
	}
	stream := clean[model.Site{Kind: model.ResidPre, Layer: first}]
	if stream == nil {
		first = 0
	}
	copies := 1
	for copies < t.copies && copies < len(weights) {
		copies = min(2*copies, t.copies)
	}
	s, rows := t.Model.Spec, t.Pairs.Rows*copies
	plan := model.Plan{Batch: rows, Seq: t.Pairs.Seq, From: first, To: target.Layer + 1, GradSites: at, Objective: model.SiteDot(s, target, rows, t.Pairs.Seq)}
	edits, err := t.replace(&plan, at, clean)
	if err != nil {
		return nil, err
	}
	dims := s.Dims(target.Kind, rows, t.Pairs.Seq)
	size := t.Pairs.Rows * t.Pairs.Seq
	for _, n := range dims[2:] {
		size *= n
	}
	var out []map[model.Site][]float64
	for part := range slices.Chunk(weights, copies) {
		buffer := make([]float32, copies*size)
		for c, w := range part {
			if len(w) != size {
				return nil, fmt.Errorf("circuits: %d weights for site %s of %d values", len(w), target, size)
			}
			copy(buffer[c*size:], w)
		}
		in := t.inputs(copies, first, stream)
		in.Edits, in.Objective = edits, map[string]*tensors.Tensor{"weights": tensors.FromFlatDataAndDimensions(buffer, dims...)}
		result, err := t.launch(ctx, plan, in)
		if err != nil {
			return nil, err
		}
		all := map[model.Site][]float64{}
		for _, site := range at {
			if all[site], err = floats(result.Grad(site)); err != nil {
				return nil, errors.Join(err, result.Free())
			}
		}
		if err := result.Free(); err != nil {
			return nil, err
		}
		for c := range part {
			one := map[model.Site][]float64{}
			for site, g := range all {
				n := len(g) / copies
				one[site] = g[c*n : (c+1)*n]
			}
			out = append(out, one)
		}
	}
	return out, nil
}

// of is a chunk's share of the values.
func (v SiteValues) of(t, c *Task) SiteValues {
	out := SiteValues{}
	for s, x := range v {
		out[s] = pick(x, c.index, len(x)/t.Pairs.Rows)
	}
	return out
}

// join appends a chunk's rows to all.
func join[T any](c *Task, all, part map[model.Site][]T) {
	for s, x := range part {
		all[s] = append(all[s], x[:len(x)/c.Pairs.Rows*c.real]...)
	}
}

// inputs are the clean tokens, repeated, and the residual stream [rows,seq,d] where a pass begins past block 0.
func (t *Task) inputs(copies, from int, stream []float32) model.Inputs {
	in := model.Inputs{IDs: tile(t.Pairs.Clean, copies)}
	if t.Pairs.Mask != nil {
		in.Mask = tile(t.Pairs.Mask, copies)
	}
	if from > 0 {
		rows := t.Pairs.Rows * copies
		n := rows * t.Pairs.Seq * t.Model.Spec.DModel
		in.Input = tensors.FromFlatDataAndDimensions(tile(stream, n/len(stream)), rows, t.Pairs.Seq, t.Model.Spec.DModel)
	}
	return in
}

// launch compiles (once) and runs a plan.
func (t *Task) launch(ctx context.Context, plan model.Plan, in model.Inputs) (*model.Outputs, error) {
	program, err := t.Engine.Compile(t.Model.Spec, plan)
	if err != nil {
		return nil, err
	}
	return program.Run(ctx, t.Model.Params, in)
}
