package erase

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Continual is what became of requests that came one after the other.
type Continual struct {
	Sequential []*Map // after each request
	Joint      []*Map // of all requests so far, fitted at once
	// Relapse[i][j] is what the measure says of request j after request i, for j <= i: a row that grows to the left of its end shows
	// that later edits brought earlier concepts back.
	Relapse [][]float64
	// RelapseJoint is the same for the joint maps.
	RelapseJoint [][]float64
}

// EraseContinually erases requests by UCE as they come, each fitted by itself and applied to the matrices that the ones before
// left (W E_1 E_2 ...), beside one joint fit of all so far, and measures every request so far after each. The joint fits preserve
// what any of their requests does; priors must be nil or the same. measure may be Measure's Erased error, an accuracy, or any
// other number.
func EraseContinually(ctx context.Context, requests []Request, cfg UCEConfig, measure func(m *Map, request int) (float64, error)) (*Continual, error) {
	if len(requests) == 0 {
		return nil, fmt.Errorf("erase: no request: %w", vectors.ErrShape)
	}
	out := new(Continual)
	var all Request
	var last *Map
	for i, r := range requests {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("erase: stopped before request %d: %w", i, err)
		}
		r, err := r.check()
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		edit, err := UCE(r, cfg)
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		if i == 0 {
			last, all.Prior = edit.Map, r.Prior
		} else if last, err = last.Then(edit.Map); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		if r.Prior != all.Prior {
			return nil, fmt.Errorf("request %d: its prior is not that of the first: %w; use one for all", i, vectors.ErrArgument)
		}
		all.Concepts, all.Anchors, all.Preserve = below(all.Concepts, r.Concepts), below(all.Anchors, r.Anchors), below(all.Preserve, r.Preserve)
		joint, err := UCE(all, cfg)
		if err != nil {
			return nil, fmt.Errorf("requests 0 to %d at once: %w", i, err)
		}
		out.Sequential, out.Joint = append(out.Sequential, last), append(out.Joint, joint.Map)
		rows := [2][]float64{}
		for k, m := range []*Map{last, joint.Map} {
			for j := range i + 1 {
				v, err := measure(m, j)
				if err != nil {
					return nil, fmt.Errorf("request %d after request %d: %w", j, i, err)
				}
				rows[k] = append(rows[k], v)
			}
		}
		out.Relapse, out.RelapseJoint = append(out.Relapse, rows[0]), append(out.RelapseJoint, rows[1])
	}
	return out, nil
}

// below stacks the rows of b below those of a; either may be nil.
func below(a, b *mat.Dense) *mat.Dense {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	var out mat.Dense
	out.Stack(a, b)
	return &out
}
