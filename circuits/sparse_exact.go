package circuits

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// ErrorPart stands for the error among the parts of PatchParts.
const ErrorPart = -1

// PartPatch names a part, or ErrorPart, and a position; position -1 is all positions.
type PartPatch struct{ Part, Position int }

// PatchParts measures, for each patch and row, the loss with that part moved to its corrupted coefficient (the error: to its
// corrupted value) less the clean loss. One pass for every Options.SweepRows rows and patches; one program.
func PatchParts(ctx context.Context, t *Task, p Parts, patches []PartPatch) ([][]float64, error) {
	d, n, err := p.check(t)
	if err != nil {
		return nil, err
	}
	for _, patch := range patches {
		if patch.Part < ErrorPart || patch.Part >= n || patch.Position < -1 || patch.Position >= t.Pairs.Seq {
			return nil, fmt.Errorf("circuits: patch of part %d at position %d; there are %d parts and %d positions", patch.Part, patch.Position, n, t.Pairs.Seq)
		}
	}
	return sweepByRow(t, len(patches), func(c *Task) ([][]float64, error) { return c.patchParts(ctx, p.of(c, n), d, n, patches) })
}

// patchParts is PatchParts of a task without chunks.
func (t *Task) patchParts(ctx context.Context, p Parts, d, n int, patches []PartPatch) ([][]float64, error) {
	clean, corrupted, err := t.captureBoth(ctx, p.Site)
	if err != nil {
		return nil, err
	}
	remainder := make([]float32, len(clean)) // change of the error
	for at := range len(clean) / d {
		for k := range d {
			remainder[at*d+k] = corrupted[at*d+k] - clean[at*d+k]
		}
		for i := range n {
			if change := p.Corrupted[at*n+i] - p.Clean[at*n+i]; change != 0 {
				for k := range d {
					remainder[at*d+k] -= change * p.Directions[i*d+k]
				}
			}
		}
	}
	rows := t.Pairs.Rows * t.copies
	plan := model.Plan{Batch: rows, Seq: t.Pairs.Seq, Edits: []model.Edit{{Site: p.Site.Kind, Layers: []int{p.Site.Layer}, Replace: true}}}
	t.metric.apply(&plan)
	where := tensors.FromScalarAndDimensions(float32(1), 1, rows, t.Pairs.Seq)
	out := make([][]float64, 0, len(patches))
	for part := range slices.Chunk(patches, t.copies) {
		value := tile(clean, t.copies)
		if t.copies == 1 {
			value = slices.Clone(clean)
		}
		for c, patch := range part {
			for at := range t.Pairs.Rows * t.Pairs.Seq {
				if patch.Position >= 0 && at%t.Pairs.Seq != patch.Position {
					continue
				}
				x := value[c*len(clean)+at*d:][:d]
				if patch.Part == ErrorPart {
					for k := range x {
						x[k] += remainder[at*d+k]
					}
					continue
				}
				change := p.Corrupted[at*n+patch.Part] - p.Clean[at*n+patch.Part]
				for k := range x {
					x[k] += change * p.Directions[patch.Part*d+k]
				}
			}
		}
		edit := map[string]*tensors.Tensor{"source": tensors.FromFlatDataAndDimensions(value, rows, t.Pairs.Seq, d), "where": where}
		result, err := t.run(ctx, plan, t.Pairs.Clean, t.copies, nil, []map[string]*tensors.Tensor{edit})
		if err != nil {
			return nil, err
		}
		loss, err := losses(result)
		if err != nil {
			return nil, err
		}
		for c := range part {
			row := make([]float64, t.Pairs.Rows)
			for r := range row {
				row[r] = loss[c*t.Pairs.Rows+r] - t.CleanLoss[r]
			}
			out = append(out, row)
		}
	}
	return out, nil
}
