package circuits

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// drawEdges draws n edges (0: all) from senders to later receivers, and lists the receivers by sender.
func drawEdges(senders, receivers []Component, n int, seed uint64) [][]int {
	var all [][2]int
	for i, s := range senders {
		for j, r := range receivers {
			if CompareSites(s.Site(), r.Site()) < 0 {
				all = append(all, [2]int{i, j})
			}
		}
	}
	if n > 0 && n < len(all) {
		rand.New(rand.NewPCG(seed, 17)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:n]
	}
	out := make([][]int, len(senders))
	for _, e := range all {
		out[e[0]] = append(out[e[0]], e[1])
	}
	return out
}

// patched is a site's clean value with the component at its corrupted value.
func (p *part) patched(clean, corrupted []float32) []float32 {
	out := slices.Clone(clean)
	for at := 0; at < len(out); at += p.width {
		copy(out[at+p.lo:at+p.hi], corrupted[at+p.lo:at+p.hi])
	}
	return out
}

// patchReceivers gives one receiver at a time the value that it has in read, and returns what each adds to the rows' losses.
func (t *Task) patchReceivers(ctx context.Context, sites []model.Site, clean, read SiteValues, receivers []Component, chosen []int) ([][]float64, error) {
	return sweepByRow(t, len(chosen), func(c *Task) ([][]float64, error) {
		from, to := clean, read
		if t.chunks != nil {
			from, to = clean.only(sites).of(t, c), read.of(t, c)
		}
		var out [][]float64
		for group := range slices.Chunk(chosen, c.copies) {
			losses, err := c.patchEach(ctx, sites, from, to, receivers, group)
			if err != nil {
				return nil, err
			}
			out = append(out, losses...)
		}
		return out, nil
	})
}

// patchEach is one pass of patchReceivers, a receiver in each copy of the batch.
func (t *Task) patchEach(ctx context.Context, sites []model.Site, clean, read SiteValues, receivers []Component, group []int) ([][]float64, error) {
	plan := model.Plan{Batch: t.Pairs.Rows * t.copies, Seq: t.Pairs.Seq}
	edits := make([]map[string]*tensors.Tensor, len(sites))
	for i, site := range sites {
		plan.Edits = append(plan.Edits, model.Edit{Site: site.Kind, Layers: []int{site.Layer}, Replace: true})
		dims := t.Model.Spec.Dims(site.Kind, plan.Batch, t.Pairs.Seq)
		var source, where []float32
		for c, j := range group {
			n := receivers[j].(*part)
			if n.site != site {
				continue
			}
			if source == nil {
				source, where = make([]float32, product(dims)), make([]float32, product(dims[:len(dims)-1]))
			}
			copy(source[c*len(clean[site]):], n.patched(clean[site], read[site]))
			per := len(where) / t.copies
			for k := c * per; k < (c+1)*per; k++ {
				where[k] = 1
			}
		}
		if source != nil {
			edits[i] = map[string]*tensors.Tensor{
				"source": tensors.FromFlatDataAndDimensions(source, dims...),
				"where":  tensors.FromFlatDataAndDimensions(where, append([]int{1}, dims[:len(dims)-1]...)...),
			}
		}
	}
	t.metric.apply(&plan)
	result, err := t.run(ctx, plan, t.Pairs.Clean, t.copies, nil, edits)
	if err != nil {
		return nil, err
	}
	loss, err := losses(result)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(group))
	for c := range group {
		out[c] = make([]float64, t.Pairs.Rows)
		for r := range out[c] {
			out[c][r] = loss[c*t.Pairs.Rows+r] - t.CleanLoss[r]
		}
	}
	return out, nil
}
