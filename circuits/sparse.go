package circuits

import (
	"context"
	"fmt"

	"loupe/probe/model"
)

// Parts write a site's value as a sum of directions, x = sum_i f_i w_i + e + constant: the latents of a sparse autoencoder and its
// reconstruction error, or any set of directions with their coefficients.
type Parts struct {
	Site             model.Site
	Directions       []float32 // [n,d]
	Clean, Corrupted []float32 // coefficients [rows*seq,n] on the two inputs
}

// PartEffects are effects of parts on each row's loss, in the clean run moved toward the corrupted one.
type PartEffects struct {
	Rows, Seq, N int
	Parts        []float64 // [rows,seq,n]
	Error        []float64 // [rows,seq]: what the parts leave of the site
}

// AttributeParts is attribution patching of parts and of the error between them and the site (Marks et al., arXiv:2403.19647):
// (f_corrupted - f_clean) dM/df with steps 0, else with the mean of the gradients at f_clean + i/steps (f_corrupted - f_clean),
// i = 0..steps-1, the error moving along. The derivative in f_i is that in the site's value times w_i.
func AttributeParts(ctx context.Context, t *Task, p Parts, steps int) (*PartEffects, error) {
	if steps < 0 {
		return nil, fmt.Errorf("circuits: integrated gradients of %d steps", steps)
	}
	d, n, err := p.check(t)
	if err != nil {
		return nil, err
	}
	out := &PartEffects{Rows: t.Pairs.Rows, Seq: t.Pairs.Seq, N: n}
	err = t.each(func(c *Task) error {
		part, err := c.attributeParts(ctx, p.of(c, n), d, n, steps)
		if err != nil {
			return err
		}
		out.Parts = append(out.Parts, part.Parts[:c.real*c.Pairs.Seq*n]...)
		out.Error = append(out.Error, part.Error[:c.real*c.Pairs.Seq]...)
		return nil
	})
	return out, err
}

// of is a chunk's share of the parts.
func (p Parts) of(c *Task, n int) Parts {
	if c.index != nil {
		p.Clean, p.Corrupted = pick(p.Clean, c.index, c.Pairs.Seq*n), pick(p.Corrupted, c.index, c.Pairs.Seq*n)
	}
	return p
}

// attributeParts is AttributeParts of a task without chunks.
func (t *Task) attributeParts(ctx context.Context, p Parts, d, n, steps int) (*PartEffects, error) {
	clean, corrupted, err := t.captureBoth(ctx, p.Site)
	if err != nil {
		return nil, err
	}
	var gradient []float64
	value := make([]float32, len(clean))
	for i := range max(steps, 1) {
		share := float64(i) / float64(max(steps, 1))
		for j := range value {
			value[j] = float32((1-share)*float64(clean[j]) + share*float64(corrupted[j]))
		}
		g, err := t.GradientsAt(ctx, []model.Site{p.Site}, SiteValues{p.Site: value})
		if err != nil {
			return nil, err
		}
		gradient = accumulate(gradient, g.At[p.Site], 1/float64(max(steps, 1)))
	}
	out := &PartEffects{Parts: make([]float64, len(p.Clean)), Error: make([]float64, len(clean)/d)}
	for at := range out.Error {
		g := gradient[at*d : (at+1)*d]
		for k := range d { // all of the site's change; the parts' share goes to them below
			out.Error[at] += g[k] * (float64(corrupted[at*d+k]) - float64(clean[at*d+k]))
		}
		for i := range n {
			change := float64(p.Corrupted[at*n+i]) - float64(p.Clean[at*n+i])
			if change == 0 {
				continue
			}
			var along float64
			for k, w := range p.Directions[i*d : (i+1)*d] {
				along += g[k] * float64(w)
			}
			out.Parts[at*n+i] = change * along
			out.Error[at] -= change * along
		}
	}
	return out, nil
}

// check returns the width of the site and the number of parts.
func (p *Parts) check(t *Task) (d, n int, err error) {
	if err := t.Model.Spec.Has(p.Site); err != nil {
		return 0, 0, err
	}
	if p.Site.Kind.Axes() != "btd" {
		return 0, 0, fmt.Errorf("circuits: site %s is no [b,t,d] stream to write as a sum of parts", p.Site)
	}
	d = t.Model.Spec.DModel
	n = len(p.Directions) / d
	switch places := t.Pairs.Rows * t.Pairs.Seq; {
	case n == 0 || len(p.Directions) != n*d:
		return 0, 0, fmt.Errorf("circuits: %d values of directions; they need a multiple of the width %d", len(p.Directions), d)
	case len(p.Clean) != places*n || len(p.Corrupted) != places*n:
		return 0, 0, fmt.Errorf("circuits: %d and %d coefficients for %d places of %d parts", len(p.Clean), len(p.Corrupted), places, n)
	}
	return d, n, nil
}

// captureBoth returns a site's value on the two inputs.
func (t *Task) captureBoth(ctx context.Context, site model.Site) (clean, corrupted []float32, err error) {
	var values [2][]float32
	for i, ids := range [][]int32{t.Pairs.Clean, t.Pairs.Corrupted} {
		all, err := t.CaptureSites(ctx, ids, []model.Site{site})
		if err != nil {
			return nil, nil, err
		}
		values[i] = all[site]
	}
	return values[0], values[1], nil
}
