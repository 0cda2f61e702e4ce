package circuits

import (
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/probe/model"
)

// Read is what moving a site's value along a direction does to what heads and MLPs read, and to the loss.
type Read struct {
	Receivers []string
	// Direct and Total [receivers] are the root mean square changes of what each reads over real positions, as shares of its own root mean
	// square: past every head and MLP between, and through them too.
	Direct, Total []float64
	// Effect [rows, receivers] is what the direct change does to the loss through the receiver, (dm/dv) (v' - v) with dm/dv at the clean input;
	// Past [rows] what it does past all of them.
	Effect, Past []float64
	// Loss [rows] is the measured change of the loss.
	Loss []float64
}

// WhatReads moves a site's value along v by move [rows*seq] of v at each place (for a concept, the change of its coefficient between the inputs or a
// constant), and tells who reads it: the queries, keys and values of heads and the inputs of MLPs (Activations.Receivers, or any components).
// For small moves the effects with Past add up to the change of the loss. SenderSites, the site and the receivers' must be captured; two passes and
// two gradient passes by two programs, whatever the number of receivers.
func WhatReads(ctx context.Context, a *Activations, site model.Site, v, move []float32, receivers []Component) (*Read, error) {
	t := a.Task
	width, err := a.width(site)
	if err != nil {
		return nil, err
	}
	places := t.Pairs.Rows * t.Pairs.Seq
	if len(v) != width || len(move) != places || len(receivers) == 0 {
		return nil, fmt.Errorf("circuits: %d moves along %d values for %d places of site %s of width %d, read by %d receivers", len(move), len(v), places, site, width, len(receivers))
	}
	moved := slices.Clone(a.Clean[site])
	for at, by := range move {
		for j, w := range v {
			moved[at*width+j] += by * w
		}
	}
	between := SiteValues{site: moved}
	edited := []model.Site{site}
	for _, s := range SenderSites(t.Model.Spec) {
		if CompareSites(s, site) <= 0 {
			continue
		}
		if a.Clean[s] == nil {
			return nil, fmt.Errorf("circuits: site %s was not captured; capture SenderSites", s)
		}
		edited, between[s] = append(edited, s), a.Clean[s]
	}
	sites := componentSites(receivers)
	for _, s := range sites {
		if CompareSites(s, site) <= 0 {
			return nil, fmt.Errorf("circuits: receivers at %s come before what moves at %s", s, site)
		}
		if _, err := a.width(s); err != nil {
			return nil, err
		}
	}
	direct, _, err := t.capture(ctx, t.Pairs.Clean, sites, edited, between)
	if err != nil {
		return nil, err
	}
	total, loss, err := t.capture(ctx, t.Pairs.Clean, sites, edited, SiteValues{site: moved})
	if err != nil {
		return nil, err
	}
	gradient, err := t.gradientsBy(ctx, append(slices.Clone(sites), site), nil, Paths{})
	if err != nil {
		return nil, err
	}
	delete(between, site)
	past, err := t.gradientsBy(ctx, []model.Site{site}, between, Paths{Held: edited[1:]})
	if err != nil {
		return nil, err
	}
	out := &Read{Effect: make([]float64, t.Pairs.Rows*len(receivers)), Past: make([]float64, t.Pairs.Rows), Loss: loss}
	for r := range out.Loss {
		out.Loss[r] -= t.CleanLoss[r]
	}
	for at, by := range move {
		out.Past[at/t.Pairs.Seq] += float64(by) * along(past.At[site][at*width:(at+1)*width], v)
	}
	for i, n := range receivers {
		p, ok := n.(*part)
		if !ok {
			return nil, fmt.Errorf("circuits: receiver %s is no slice or direction of a site", n.Name())
		}
		out.Receivers = append(out.Receivers, n.Name())
		s := n.Site()
		now := func(x []float32) []float64 { return p.coefficients(x) }
		clean := now(a.Clean[s])
		out.Direct = append(out.Direct, t.relative(clean, now(direct[s])))
		out.Total = append(out.Total, t.relative(clean, now(total[s])))
		step := &part{width: p.width, lo: p.lo, hi: p.hi, write: p.write, clean: a.Clean[s], corrupted: direct[s]}
		if p.write != nil {
			step.clean, step.corrupted = narrow(clean), narrow(now(direct[s]))
		}
		for at, x := range step.Change(gradient.At[s]) {
			out.Effect[at/t.Pairs.Seq*len(receivers)+i] += x
		}
	}
	return out, nil
}

// coefficients are what a site's value makes of the component at each place: its slice, or its direction's coefficient.
func (p *part) coefficients(x []float32) []float64 {
	var out []float64
	for lo := 0; lo < len(x); lo += p.width {
		here := x[lo+p.lo : lo+p.hi]
		if p.read != nil {
			var sum float64
			for j, r := range p.read {
				sum += float64(r) * float64(here[j])
			}
			out = append(out, sum)
			continue
		}
		for _, v := range here {
			out = append(out, float64(v))
		}
	}
	return out
}

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// relative is the root mean square of a change of values [places,..] at real places over that of the values.
func (t *Task) relative(from, to []float64) float64 {
	per := len(from) / (t.Pairs.Rows * t.Pairs.Seq)
	var change, size float64
	for i, v := range from {
		if mask := t.Pairs.Mask; mask != nil && mask[i/per] == 0 {
			continue
		}
		change += (to[i] - v) * (to[i] - v)
		size += v * v
	}
	return math.Sqrt(change / size)
}
