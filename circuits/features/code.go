package features

import (
	"context"
	"fmt"
	"slices"

	"loupe/circuits"
	"loupe/probe/model"
	"loupe/sae"
)

// Code is what dictionaries make of a task's two inputs. Dictionaries are in the order of the pass.
type Code struct {
	Task         *circuits.Task
	Dictionaries []*Dictionary
	// values on the clean and the corrupted input: the sites, and hook_resid_pre of their blocks, where a pass can begin
	values [2]circuits.SiteValues
	sites  []siteCode
}

// siteCode is one site's code at all places.
type siteCode struct {
	active []activeAt // features that are on at a place on either input
	errors [2][]float32
}

// activeAt lists the features of a place, ascending, with their coefficients on the clean and the corrupted input.
type activeAt struct {
	index []int32
	value [2][]float32
}

// Encode runs both inputs and encodes them.
func Encode(ctx context.Context, t *circuits.Task, dictionaries []*Dictionary) (*Code, error) {
	if err := check(t.Model.Spec, dictionaries); err != nil {
		return nil, err
	}
	c := &Code{Task: t, Dictionaries: slices.Clone(dictionaries)}
	slices.SortFunc(c.Dictionaries, func(a, b *Dictionary) int { return circuits.CompareSites(a.Site, b.Site) })
	capture := c.Sites()
	for _, s := range c.Sites() {
		if pre := (model.Site{Kind: model.ResidPre, Layer: s.Layer}); s.Kind.InBlock() && !slices.Contains(capture, pre) {
			capture = append(capture, pre)
		}
	}
	for i, ids := range [][]int32{t.Pairs.Clean, t.Pairs.Corrupted} {
		var err error
		if c.values[i], err = t.CaptureSites(ctx, ids, capture); err != nil {
			return nil, err
		}
	}
	for _, d := range c.Dictionaries {
		var of [2]sae.Latents
		var s siteCode
		for i := range of {
			x := c.values[i][d.Site]
			var err error
			if of[i], s.errors[i], err = d.split(x); err != nil {
				return nil, err
			}
		}
		s.active = make([]activeAt, t.Pairs.Rows*t.Pairs.Seq)
		for p := range s.active {
			s.active[p] = merge(of[0], of[1], p)
		}
		c.sites = append(c.sites, s)
	}
	return c, nil
}

// Sites lists the dictionaries' sites.
func (c *Code) Sites() []model.Site {
	out := make([]model.Site, len(c.Dictionaries))
	for i, d := range c.Dictionaries {
		out[i] = d.Site
	}
	return out
}

// split returns the coefficients of rows x and the error, x less the constant and what the features write.
func (d *Dictionary) split(x []float32) (sae.Latents, []float32, error) {
	l, err := d.Encode(x)
	if err != nil {
		return l, nil, fmt.Errorf("features: site %s: %w", d.Site, err)
	}
	rest := slices.Clone(x)
	for p := range l.Rows() {
		here := rest[p*d.D : (p+1)*d.D]
		if d.Constant != nil {
			axpy(-1, d.Constant, here)
		}
		index, value := l.Row(p)
		for j, i := range index {
			axpy(-value[j], d.write(i), here)
		}
	}
	return l, rest, nil
}

func axpy(a float32, x, y []float32) {
	if a == 0 {
		return
	}
	for i, v := range x {
		y[i] += a * v
	}
}

// merge lists the features on in either code at place p.
func merge(clean, corrupted sae.Latents, p int) activeAt {
	of := map[int32]*[2]float32{}
	for k, l := range []sae.Latents{clean, corrupted} {
		index, value := l.Row(p)
		for j, i := range index {
			if value[j] == 0 {
				continue
			}
			if of[i] == nil {
				of[i] = &[2]float32{}
			}
			of[i][k] += value[j]
		}
	}
	var a activeAt
	for i := range of {
		a.index = append(a.index, i)
	}
	slices.Sort(a.index)
	for _, i := range a.index {
		for k := range a.value {
			a.value[k] = append(a.value[k], of[i][k])
		}
	}
	return a
}
