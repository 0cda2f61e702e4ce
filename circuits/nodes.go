package circuits

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Direction says which run a node patch starts from.
type Direction string

// Noise puts the corrupted value into the clean run; Denoise the clean value into the corrupted run.
const (
	Noise   Direction = "noise"
	Denoise Direction = "denoise"
)

// NodeEffects are the losses after patching one place at a time.
type NodeEffects struct {
	Site      model.Kind
	Direction Direction
	Dims      []int     // rows, layers, (heads,) positions
	Loss      []float64 // by Dims
}

// PatchNodes replaces the value of a site of every layer, one position (and, for sites with heads, one head) at a time, by that of
// the other run, and returns the losses. It holds for every model, encoders that normalise after each block included: there
// hook_attn_out and hook_mlp_out are the values before the residual sum and its norm. One pass for every Options.SweepRows rows
// and places.
func PatchNodes(ctx context.Context, t *Task, site model.Kind, direction Direction) (*NodeEffects, error) {
	s, p := t.Model.Spec, t.Pairs
	axes := site.Axes()
	if !site.InBlock() || len(axes) < 3 || axes[:2] != "bt" || axes[2] == '1' {
		return nil, fmt.Errorf("circuits: site %s cannot be patched by position; choose one like %s or %s", site.Name(), model.ResidPre.Name(), model.Z.Name())
	}
	if direction != Noise && direction != Denoise {
		return nil, fmt.Errorf("circuits: direction %q is neither %s nor %s", direction, Noise, Denoise)
	}
	heads := 1
	if len(axes) == 4 {
		heads = s.Dims(site, 1, 1)[2]
	}
	out := &NodeEffects{Site: site, Direction: direction, Dims: []int{p.Rows, s.Layers, p.Seq}}
	if len(axes) == 4 {
		out.Dims = []int{p.Rows, s.Layers, heads, p.Seq}
	}
	loss, err := byRow(t, func(c *Task) ([]float64, error) {
		from, to := c.Pairs.Corrupted, c.Pairs.Clean
		if direction == Denoise {
			from, to = to, from
		}
		return c.patchPlaces(ctx, site, heads, from, to)
	})
	out.Loss = loss
	return out, err
}

// patchPlaces returns the losses [b,l,(h,)t] of target with a site of source at one place, in a task without chunks.
func (t *Task) patchPlaces(ctx context.Context, site model.Kind, heads int, source, target []int32) ([]float64, error) {
	s, p := t.Model.Spec, t.Pairs
	axes := site.Axes()
	values, err := t.captureLayers(ctx, site, source)
	if err != nil {
		return nil, err
	}
	places := s.Layers * heads * p.Seq
	out := make([]float64, p.Rows*places)
	rows := p.Rows * t.copies
	plan := model.Plan{Batch: rows, Seq: p.Seq}
	slot := 0
	for i, kind := range compiledWith(site) {
		plan.Edits = append(plan.Edits, model.Edit{Site: kind, Replace: true, SourcePerLayer: true})
		if kind == site {
			slot = i
		}
	}
	edits := make([]map[string]*tensors.Tensor, len(plan.Edits))
	t.metric.apply(&plan)
	per := len(values) / s.Layers
	tiled := make([]float32, 0, len(values)*t.copies)
	for l := range s.Layers {
		tiled = append(tiled, tile(values[l*per:(l+1)*per], t.copies)...)
	}
	sourceTensor := tensors.FromFlatDataAndDimensions(tiled, append([]int{s.Layers}, s.Dims(site, rows, p.Seq)...)...)
	whereDims := append([]int{s.Layers}, s.Dims(site, rows, p.Seq)[:len(axes)-1]...)
	for from := 0; from < places; from += t.copies {
		n := min(t.copies, places-from)
		where := make([]float32, s.Layers*rows*p.Seq*heads)
		for c := range n {
			layer, head, position := (from+c)/(heads*p.Seq), (from+c)/p.Seq%heads, (from+c)%p.Seq
			for r := range p.Rows {
				where[((layer*rows+c*p.Rows+r)*p.Seq+position)*heads+head] = 1
			}
		}
		edits[slot] = map[string]*tensors.Tensor{"source": sourceTensor, "where": tensors.FromFlatDataAndDimensions(where, whereDims...)}
		result, err := t.run(ctx, plan, target, t.copies, nil, edits)
		if err != nil {
			return nil, err
		}
		loss, err := losses(result)
		if err != nil {
			return nil, err
		}
		for c := range n {
			for r := range p.Rows {
				out[r*places+from+c] = loss[c*p.Rows+r]
			}
		}
	}
	return out, nil
}

// commonSites are patched by one program, so that sweeping all of them compiles once.
var commonSites = []model.Kind{model.ResidPre, model.AttnOut, model.MLPOut, model.Z}

// compiledWith lists the sites of the program that patches site.
func compiledWith(site model.Kind) []model.Kind {
	if slices.Contains(commonSites, site) {
		return commonSites
	}
	return []model.Kind{site}
}

// captureLayers returns a site's values of all layers, [l,b,t,..], on ids.
func (t *Task) captureLayers(ctx context.Context, site model.Kind, ids []int32) ([]float32, error) {
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq}
	for _, kind := range compiledWith(site) {
		for l := range t.Model.Spec.Layers {
			plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: kind, Layer: l}})
		}
	}
	t.metric.apply(&plan)
	result, err := t.run(ctx, plan, ids, 1, nil, nil)
	if err != nil {
		return nil, err
	}
	var out []float32
	for l := range t.Model.Spec.Layers {
		x, err := tensors.CopyFlatData[float32](result.Site(model.Site{Kind: site, Layer: l}))
		if err != nil {
			return nil, fmt.Errorf("circuits: %w", err)
		}
		out = append(out, x...)
	}
	return out, result.Free()
}
