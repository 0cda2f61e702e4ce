package circuits

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// UnitEffects are the losses after patching one unit at all positions at once.
type UnitEffects struct {
	Direction Direction
	Heads     []float64 // [rows, layers, heads]: the head's output (hook_z)
	MLPs      []float64 // [rows, layers]: the MLP's (hook_mlp_out)
}

// PatchUnits replaces the output of every attention head, and of every MLP, by that of the other run, one unit at a time and at all
// positions. Each run restarts at the patched block from the cached residual stream, several units side by side, and computes logits at the
// answers' positions alone; so there is one program for each block, whatever the number of units.
func PatchUnits(ctx context.Context, t *Task, direction Direction) (*UnitEffects, error) {
	if direction != Noise && direction != Denoise {
		return nil, fmt.Errorf("circuits: direction %q is neither %s nor %s", direction, Noise, Denoise)
	}
	out := &UnitEffects{Direction: direction}
	err := t.each(func(c *Task) error {
		part, err := c.patchUnits(ctx, direction)
		if err != nil {
			return err
		}
		layers, heads := c.Model.Spec.Layers, c.Model.Spec.Heads
		out.Heads, out.MLPs = append(out.Heads, part.Heads[:c.real*layers*heads]...), append(out.MLPs, part.MLPs[:c.real*layers]...)
		return nil
	})
	return out, err
}

// patchUnits is PatchUnits of a task without chunks.
func (t *Task) patchUnits(ctx context.Context, direction Direction) (*UnitEffects, error) {
	s, p := t.Model.Spec, t.Pairs
	target, source := p.Clean, p.Corrupted
	if direction == Denoise {
		target, source = source, target
	}
	stream, err := t.blocks(ctx, target, model.ResidPre)
	if err != nil {
		return nil, err
	}
	outputs, err := t.blocks(ctx, source, model.Z, model.MLPOut)
	if err != nil {
		return nil, err
	}
	units := s.Heads + 1
	runs := (units + t.copies - 1) / t.copies
	copies := (units + runs - 1) / runs // as few idle copies in the last run as can be
	rows := p.Rows * copies
	out := &UnitEffects{Direction: direction, Heads: make([]float64, p.Rows*s.Layers*s.Heads), MLPs: make([]float64, p.Rows*s.Layers)}
	for layer := range s.Layers {
		at := []int{layer}
		plan := model.Plan{Batch: rows, Seq: p.Seq, From: layer, Edits: []model.Edit{{Site: model.Z, Layers: at, Replace: true}, {Site: model.MLPOut, Layers: at, Replace: true}}}
		t.metric.apply(&plan)
		program, err := t.Engine.Compile(s, plan)
		if err != nil {
			return nil, err
		}
		objective, err := t.metric.inputs(copies)
		if err != nil {
			return nil, err
		}
		in := model.Inputs{IDs: tile(target, copies), Gather: tile(t.metric.position, copies), Objective: objective}
		if p.Mask != nil {
			in.Mask = tile(p.Mask, copies)
		}
		if layer > 0 {
			in.Input = tensors.FromFlatDataAndDimensions(tile(stream[model.ResidPre][layer], copies), rows, p.Seq, s.DModel)
		}
		z := tensors.FromFlatDataAndDimensions(tile(outputs[model.Z][layer], copies), s.Dims(model.Z, rows, p.Seq)...)
		mlp := tensors.FromFlatDataAndDimensions(tile(outputs[model.MLPOut][layer], copies), s.Dims(model.MLPOut, rows, p.Seq)...)
		for from := 0; from < units; from += copies {
			heads, wide := make([]float32, rows*p.Seq*s.Heads), make([]float32, rows*p.Seq)
			for c := range min(copies, units-from) {
				unit := from + c
				for i := c * p.Rows * p.Seq; i < (c+1)*p.Rows*p.Seq; i++ {
					if unit == s.Heads {
						wide[i] = 1
					} else {
						heads[i*s.Heads+unit] = 1
					}
				}
			}
			in.Edits = []map[string]*tensors.Tensor{
				{"source": z, "where": tensors.FromFlatDataAndDimensions(heads, 1, rows, p.Seq, s.Heads)},
				{"source": mlp, "where": tensors.FromFlatDataAndDimensions(wide, 1, rows, p.Seq)},
			}
			result, err := t.pass(ctx, program, in)
			if err != nil {
				return nil, err
			}
			loss, err := losses(result)
			if err != nil {
				return nil, err
			}
			for c := range min(copies, units-from) {
				for r := range p.Rows {
					if unit := from + c; unit == s.Heads {
						out.MLPs[r*s.Layers+layer] = loss[c*p.Rows+r]
					} else {
						out.Heads[(r*s.Layers+layer)*s.Heads+unit] = loss[c*p.Rows+r]
					}
				}
			}
		}
		if in.Input != nil {
			err = in.Input.FinalizeAll()
		}
		if err := errors.Join(err, z.FinalizeAll(), mlp.FinalizeAll()); err != nil {
			return nil, fmt.Errorf("circuits: %w", err)
		}
	}
	return out, nil
}

// blocks returns the values of sites in every block on ids, by kind and layer.
func (t *Task) blocks(ctx context.Context, ids []int32, kinds ...model.Kind) (map[model.Kind][][]float32, error) {
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq}
	for _, k := range kinds {
		for l := range t.Model.Spec.Layers {
			plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: k, Layer: l}})
		}
	}
	program, err := t.Engine.Compile(t.Model.Spec, plan)
	if err != nil {
		return nil, err
	}
	result, err := t.pass(ctx, program, model.Inputs{IDs: ids, Mask: t.Pairs.Mask})
	if err != nil {
		return nil, err
	}
	out := map[model.Kind][][]float32{}
	for _, k := range kinds {
		for l := range t.Model.Spec.Layers {
			x, err := tensors.CopyFlatData[float32](result.Site(model.Site{Kind: k, Layer: l}))
			if err != nil {
				return nil, fmt.Errorf("circuits: %w", err)
			}
			out[k] = append(out[k], x)
		}
	}
	return out, result.Free()
}
