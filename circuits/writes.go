package circuits

import (
	"context"
	"fmt"

	"loupe/probe/model"
)

// Written is what components write into a direction v of a site on the clean input. A place is a row and a position.
type Written struct {
	Site    model.Site
	Senders []string
	// Values [senders][places] are the shares of v.x that senders write there directly, past every later head and MLP.
	Values [][]float64
	// Total [places] is v.x, and Rest what no sender wrote: biases, and embeddings that are not among the senders.
	Total, Rest []float64
}

// WhatWrites splits the projection v.x of a site's value into what each sender wrote, with the divisors of norms on the way as they are in this
// pass. That is exact, not a first-order estimate: with its divisors fixed the stream is a sum of linear maps of what the senders write. Over
// Activations.Senders the rest is the share of biases alone. The site and the senders' must be captured; one product with the Jacobian.
func WhatWrites(ctx context.Context, a *Activations, site model.Site, v []float32, senders []Component) (*Written, error) {
	width, err := a.width(site)
	if err != nil {
		return nil, err
	}
	if len(v) != width || len(senders) == 0 {
		return nil, fmt.Errorf("circuits: %d senders into a direction of %d values of site %s, whose width is %d", len(senders), len(v), site, width)
	}
	x := a.Clean[site]
	target := Target{Site: site, Weights: tile(v, len(x)/width)}
	out := &Written{Site: site, Values: make([][]float64, len(senders)), Total: make([]float64, len(x)/width), Rest: make([]float64, len(x)/width)}
	for at := range out.Total {
		for j, w := range v {
			out.Total[at] += float64(w) * float64(x[at*width+j])
		}
		out.Rest[at] = out.Total[at]
	}
	sites := componentSites(senders)
	var held []model.Site // what comes after the target passes nothing to it
	for _, s := range SenderSites(a.Task.Model.Spec) {
		if a.Clean[s] != nil {
			held = append(held, s)
		} else if CompareSites(s, site) < 0 {
			return nil, fmt.Errorf("circuits: site %s comes before %s and was not captured; capture SenderSites", s, site)
		}
	}
	err = a.Task.Pull(ctx, []Target{target}, sites, a.Clean, Paths{Held: held, FrozenNorms: true}, func(_ int, at map[model.Site][]float64) error {
		for u, n := range senders {
			out.Senders = append(out.Senders, n.Name())
			out.Values[u] = make([]float64, len(out.Rest))
			if g := at[n.Site()]; g != nil {
				out.Values[u] = n.Value(g)
			}
			for p, share := range out.Values[u] {
				out.Rest[p] -= share
			}
		}
		return nil
	})
	return out, err
}
