package circuits

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Splice runs copies of the clean input side by side and lets edit change the value of each site, in the order of the pass, given what the
// changes before it made of the site: x is [copies,rows,seq,width], changed in place, and rows are the pairs' rows that each copy holds (all of
// them, unless the task runs in chunks). It returns the rows' losses of each copy. Each
// site ends one program, which begins at the block of the site before it, so a splice costs little more than a pass, whatever edit computes
// on the host.
func (t *Task) Splice(ctx context.Context, sites []model.Site, copies int, edit func(site model.Site, rows []int, x []float32) error) ([][]float64, error) {
	if err := t.checkSites(sites); err != nil {
		return nil, err
	}
	if copies < 1 || len(sites) == 0 {
		return nil, fmt.Errorf("circuits: a splice of %d copies at %d sites", copies, len(sites))
	}
	order := slices.Clone(sites)
	slices.SortFunc(order, CompareSites)
	for _, s := range order {
		if !s.Kind.InBlock() {
			return nil, fmt.Errorf("circuits: only sites inside the blocks are spliced, not %s", s)
		}
	}
	if t.chunks != nil {
		return sweepByRow(t, copies, func(c *Task) ([][]float64, error) { return c.Splice(ctx, sites, copies, edit) })
	}
	index := t.index
	if index == nil {
		for r := range t.Pairs.Rows {
			index = append(index, r)
		}
	}
	rows := t.Pairs.Rows * copies
	from := 0
	var stream []float32
	done := SiteValues{}
	var fixed []model.Site // sites of block from that have their values
	for _, s := range order {
		plan := model.Plan{Batch: rows, Seq: t.Pairs.Seq, From: from, To: s.Layer + 1, Captures: []model.Capture{{Site: s}}}
		pre := model.Site{Kind: model.ResidPre, Layer: s.Layer}
		if s.Layer > from && s != pre {
			plan.Captures = append(plan.Captures, model.Capture{Site: pre})
		}
		edits, err := t.replace(&plan, fixed, done)
		if err != nil {
			return nil, err
		}
		in := t.inputs(copies, from, stream)
		in.Edits = edits
		out, err := t.launch(ctx, plan, in)
		if err != nil {
			return nil, err
		}
		x, err := tensors.CopyFlatData[float32](out.Site(s))
		if err == nil && s.Layer > from {
			stream, err = tensors.CopyFlatData[float32](out.Site(pre))
			fixed, from = nil, s.Layer
		}
		if err := errors.Join(err, out.Free()); err != nil {
			return nil, fmt.Errorf("circuits: %w", err)
		}
		if err := edit(s, index, x); err != nil {
			return nil, err
		}
		done[s], fixed = x, append(fixed, s)
	}
	plan := model.Plan{Batch: rows, Seq: t.Pairs.Seq, From: from}
	edits, err := t.replace(&plan, fixed, done)
	if err != nil {
		return nil, err
	}
	t.metric.apply(&plan)
	in := t.inputs(copies, from, stream)
	in.Edits, in.Gather = edits, tile(t.metric.position, copies)
	if in.Objective, err = t.metric.inputs(copies); err != nil {
		return nil, err
	}
	out, err := t.launch(ctx, plan, in)
	if err != nil {
		return nil, err
	}
	loss, err := losses(out)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(loss, t.Pairs.Rows)), nil
}

// Copies is how many copies of the batch Options.SweepRows lets run side by side.
func (t *Task) Copies() int { return t.copies }
