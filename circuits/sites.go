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
	values, _, err := t.capture(ctx, ids, sites, nil, nil)
	return values, err
}

// capture returns the values of sites and the rows' losses on ids, with those of the held sites that have values at them.
func (t *Task) capture(ctx context.Context, ids []int32, sites, held []model.Site, values SiteValues) (SiteValues, []float64, error) {
	if err := errors.Join(t.checkSites(sites), t.checkSites(held)); err != nil {
		return nil, nil, err
	}
	captured := SiteValues{}
	if t.chunks != nil {
		var loss []float64
		err := t.each(func(c *Task) error {
			part, own, err := c.capture(ctx, pick(ids, c.index, t.Pairs.Seq), sites, held, values.of(t, c))
			if err == nil {
				join(c, captured, part)
				loss = append(loss, own[:c.real]...)
			}
			return err
		})
		return captured, loss, err
	}
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq}
	for _, s := range sites {
		plan.Captures = append(plan.Captures, model.Capture{Site: s})
	}
	edits, err := t.replace(&plan, held, values)
	if err != nil {
		return nil, nil, err
	}
	t.metric.apply(&plan)
	out, err := t.run(ctx, plan, ids, 1, nil, edits)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range sites {
		if captured[s], err = tensors.CopyFlatData[float32](out.Site(s)); err != nil {
			return nil, nil, fmt.Errorf("circuits: %w", errors.Join(err, out.Free()))
		}
	}
	loss, err := losses(out)
	return captured, loss, err
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
		size := product(dims)
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
	return t.gradientsBy(ctx, sites, held, Paths{Held: sites})
}

// gradientsBy is GradientsAt with other sites that may be held than those whose gradients are taken; of paths.Held those are that have values.
func (t *Task) gradientsBy(ctx context.Context, at []model.Site, values SiteValues, paths Paths) (*SiteGradients, error) {
	if t.metric.metric.Step {
		return nil, fmt.Errorf("circuits: metric %s is a step function and has no gradient", t.metric.metric.Name)
	}
	if err := errors.Join(t.checkSites(at), t.checkSites(paths.Held)); err != nil {
		return nil, err
	}
	g := &SiteGradients{At: map[model.Site][]float64{}}
	if t.chunks != nil {
		return g, t.each(func(c *Task) error {
			part, err := c.gradientsBy(ctx, at, values.of(t, c), paths)
			if err == nil {
				join(c, g.At, part.At)
				g.Loss = append(g.Loss, part.Loss[:c.real]...)
			}
			return err
		})
	}
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq, GradSites: at, FreezeNorms: paths.FrozenNorms}
	edits, err := t.replace(&plan, editable(at, paths.Held), values.only(paths.Held))
	if err != nil {
		return nil, err
	}
	t.metric.apply(&plan)
	out, err := t.run(ctx, plan, t.Pairs.Clean, 1, nil, edits)
	if err != nil {
		return nil, err
	}
	if g.Loss, err = floats(out.ObjectiveRows()); err != nil {
		return nil, errors.Join(err, out.Free())
	}
	for _, s := range at {
		if g.At[s], err = floats(out.Grad(s)); err != nil {
			return nil, errors.Join(err, out.Free())
		}
	}
	return g, out.Free()
}

// editable joins the sites whose gradients are taken with those that are held. Compiling an edit into a site makes its value a node of its own
// where it is also another's: the input of an MLP that has no norm before it is the stream, past which the stream goes on.
func editable(at, held []model.Site) []model.Site {
	out := slices.Clone(at)
	for _, s := range held {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// only are the values of some sites.
func (v SiteValues) only(sites []model.Site) SiteValues {
	out := SiteValues{}
	for _, s := range sites {
		if x, ok := v[s]; ok {
			out[s] = x
		}
	}
	return out
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
	return t.pass(ctx, program, in)
}
