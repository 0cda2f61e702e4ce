package circuits

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Target is a linear function of a site's value: sum(Weights * value), Weights of the site's shape.
type Target struct {
	Site    model.Site
	Weights []float32
}

// Paths says by which paths gradients are pulled back.
type Paths struct {
	// Held sites take their clean values, and so pass nothing on (a target's own site is read before it is held).
	Held []model.Site
	// FrozenNorms keeps the norms' divisors where the clean input has them.
	FrozenNorms bool
}

// Pull calls each with every target's gradient on the clean input at the sites named that come before it, by the paths asked for (sites that no
// path joins to it may be missing). clean holds the clean values of all held sites. Only blocks between the first of the sites (where clean has
// its block's hook_resid_pre) and the last target are computed; one program for one list of sites and targets' sites, with Options.SweepRows
// rows and targets side by side.
func (t *Task) Pull(ctx context.Context, targets []Target, at []model.Site, clean SiteValues, paths Paths, each func(i int, at map[model.Site][]float64) error) error {
	ends, err := t.checkPull(targets, at, clean, paths)
	if err != nil {
		return err
	}
	if at = reaching(at, ends, paths); len(at) == 0 {
		for i := range targets {
			if err := each(i, nil); err != nil {
				return err
			}
		}
		return nil
	}
	copies := 1
	for copies < t.copies && copies < len(targets) {
		copies = min(2*copies, t.copies)
	}
	for from := 0; from < len(targets); from += copies {
		part := targets[from:min(from+copies, len(targets))]
		all := make([]map[model.Site][]float64, len(part))
		err := t.each(func(c *Task) error {
			own, values := part, clean
			if t.chunks != nil {
				own, values = slices.Clone(part), clean.of(t, c)
				for i, target := range part {
					own[i].Weights = pick(target.Weights, c.index, len(target.Weights)/t.Pairs.Rows)
				}
			}
			gradients, err := c.pull(ctx, own, ends, at, values, paths, copies)
			for i := range gradients {
				if all[i] == nil {
					all[i] = map[model.Site][]float64{}
				}
				join(c, all[i], gradients[i])
			}
			return err
		})
		if err != nil {
			return err
		}
		for i := range part {
			if err := each(from+i, all[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pull is Pull of at most copies targets of a task without chunks.
func (t *Task) pull(ctx context.Context, targets []Target, ends, at []model.Site, clean SiteValues, paths Paths, copies int) ([]map[model.Site][]float64, error) {
	s, rows := t.Model.Spec, t.Pairs.Rows*copies
	from, to := pulledLayers(s, at, ends)
	stream := clean[model.Site{Kind: model.ResidPre, Layer: from}]
	if stream == nil {
		from = 0
	}
	var held []model.Site // that the pass computes
	for _, site := range paths.Held {
		if CompareSites(site, ends[len(ends)-1]) <= 0 && (site.Kind.InBlock() && site.Layer >= from || !site.Kind.InBlock() && from == 0) {
			held = append(held, site)
		}
	}
	plan := model.Plan{Batch: rows, Seq: t.Pairs.Seq, From: from, To: to, GradSites: at, FreezeNorms: paths.FrozenNorms, Objective: sitesDot(s, ends, rows, t.Pairs.Seq)}
	open := editable(held, at)
	edits, err := t.replace(&plan, open, clean.only(held))
	if err != nil {
		return nil, err
	}
	in := t.inputs(copies, from, stream)
	in.Edits, in.Objective = edits, map[string]*tensors.Tensor{}
	for _, end := range ends {
		dims := s.Dims(end.Kind, rows, t.Pairs.Seq)
		weights := make([]float32, product(dims))
		for c, target := range targets {
			if target.Site == end {
				copy(weights[c*len(target.Weights):], target.Weights)
			}
		}
		in.Objective[end.String()] = tensors.FromFlatDataAndDimensions(weights, dims...)
	}
	for i, site := range held { // the first of those that are open
		if slices.Contains(ends, site) {
			t.release(edits[i], site, targets, copies)
		}
	}
	result, err := t.launch(ctx, plan, in)
	if err != nil {
		return nil, err
	}
	out := make([]map[model.Site][]float64, len(targets))
	for _, site := range at {
		g, err := floats(result.Grad(site))
		if err != nil {
			return nil, errors.Join(err, result.Free())
		}
		for c, target := range targets {
			if out[c] == nil {
				out[c] = map[model.Site][]float64{}
			}
			if n := len(g) / copies; CompareSites(site, target.Site) < 0 {
				out[c][site] = g[c*n : (c+1)*n]
			}
		}
	}
	return out, result.Free()
}

// reaching lists the sites that come before the last target and, where all targets have one site, that no held site cuts off from it by holding the
// whole residual stream.
func reaching(at, ends []model.Site, paths Paths) []model.Site {
	end := ends[len(ends)-1]
	var out []model.Site
	for _, site := range at {
		cut := len(ends) == 1 && slices.ContainsFunc(paths.Held, func(h model.Site) bool {
			switch h.Kind {
			case model.ResidPre, model.ResidMid, model.ResidPost, model.NormalizedResidPost:
				return CompareSites(site, h) < 0 && CompareSites(h, end) < 0
			}
			return false
		})
		if CompareSites(site, end) < 0 && !cut {
			out = append(out, site)
		}
	}
	return out
}

// checkPull returns the targets' sites in the order of the pass.
func (t *Task) checkPull(targets []Target, at []model.Site, clean SiteValues, paths Paths) ([]model.Site, error) {
	if len(at) == 0 || len(targets) == 0 {
		return nil, fmt.Errorf("circuits: %d targets to pull back to %d sites", len(targets), len(at))
	}
	var ends []model.Site
	for _, target := range targets {
		if !slices.Contains(ends, target.Site) {
			ends = append(ends, target.Site)
		}
	}
	if err := errors.Join(t.checkSites(ends), t.checkSites(at), t.checkSites(paths.Held)); err != nil {
		return nil, err
	}
	for _, target := range targets {
		if size := product(t.Model.Spec.Dims(target.Site.Kind, t.Pairs.Rows, t.Pairs.Seq)); len(target.Weights) != size {
			return nil, fmt.Errorf("circuits: %d weights for site %s of %d values", len(target.Weights), target.Site, size)
		}
	}
	for _, site := range paths.Held {
		if clean[site] == nil {
			return nil, fmt.Errorf("circuits: no clean value of site %s to hold", site)
		}
	}
	slices.SortFunc(ends, CompareSites)
	return ends, nil
}

// pulledLayers are the first block to compute and the one after the last.
func pulledLayers(s *model.Spec, at, ends []model.Site) (from, to int) {
	from = s.Layers - 1
	for _, site := range at {
		switch {
		case site.Kind.InBlock():
			from = min(from, site.Layer)
		case site.Kind == model.Embed || site.Kind == model.PosEmbed:
			from = 0
		}
	}
	to = 1
	for _, site := range ends {
		switch {
		case site.Kind.InBlock():
			to = max(to, site.Layer+1)
		case site.Kind != model.Embed && site.Kind != model.PosEmbed:
			to = s.Layers
		}
	}
	return min(from, to-1), to
}

// release leaves a held site as it is in the copies whose target it is.
func (t *Task) release(edit map[string]*tensors.Tensor, site model.Site, targets []Target, copies int) {
	dims := t.Model.Spec.Dims(site.Kind, t.Pairs.Rows*copies, t.Pairs.Seq)
	dims = append([]int{1}, dims[:len(dims)-1]...)
	where := slices.Repeat([]float32{1}, product(dims))
	per := len(where) / copies
	for c, target := range targets {
		if target.Site == site {
			clear(where[c*per : (c+1)*per])
		}
	}
	edit["where"] = tensors.FromFlatDataAndDimensions(where, dims...)
}

// product of dims.
func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
