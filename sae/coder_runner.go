package sae

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
)

// CoderRunner applies a [Coder] of any kind to many rows, as far as possible on a backend. It is not safe for concurrent use.
// Close frees its memory on the device.
type CoderRunner struct {
	width, batch int
	apply        func(x []float32) (Latents, []float32, error) // at most batch rows; nil: whole does all
	whole        func(ctx context.Context, x []float32) (Latents, []float32, error)
	free         func()
}

// NewCoderRunner returns a runner that works on batches of so many rows; for a temporal SAE, whose metadata must say how long
// its sequences are, a whole number of sequences. A decoupled crosscoder runs on the host.
func NewCoderRunner(b compute.Backend, c Coder, batch int) (*CoderRunner, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, fmt.Errorf("sae: batch is %d; it must be at least 1", batch)
	}
	sh := c.Shape()
	r := &CoderRunner{width: sh.InSites * sh.DIn, batch: batch, apply: c.Reconstruct, free: func() {}}
	s, isSAE := c.(*SAE)
	switch x := c.(type) {
	case *CLT:
		return r, r.openCLT(b, x)
	case *Crosscoder:
		if flat, err := x.Flat(); err == nil { // all but decoupled ones
			s, isSAE = flat, true
		}
	}
	switch {
	case !isSAE:
		return r, nil
	case s.Temporal != nil:
		return r, r.openTemporal(b, s)
	}
	run, err := NewRunner(b, s, batch)
	if err != nil {
		return nil, err
	}
	r.whole, r.free = run.Reconstruct, run.Close
	return r, nil
}

// Close frees the runner's memory on the device.
func (r *CoderRunner) Close() { r.free() }

// Reconstruct implements [Reconstructor]: it returns the latents of the rows of x, [n, InSites * DIn], and what is made of
// them, [n, OutSites * DOut]. The latents of topk and batchtopk crosscoders are times their code norms; see [Crosscoder.Flat].
func (r *CoderRunner) Reconstruct(ctx context.Context, x []float32) (Latents, []float32, error) {
	if r.whole != nil {
		return r.whole(ctx, x)
	}
	lat, y := Latents{Start: []int{0}}, []float32(nil)
	if len(x)%r.width != 0 {
		return lat, nil, fmt.Errorf("sae: %d values are not rows of width %d", len(x), r.width)
	}
	for lo := 0; lo < len(x); lo += r.batch * r.width {
		if err := ctx.Err(); err != nil {
			return lat, y, err
		}
		part, out, err := r.apply(x[lo:min(lo+r.batch*r.width, len(x))])
		if err != nil {
			return lat, y, err
		}
		base := len(lat.Index)
		lat.Index, lat.Value, y = append(lat.Index, part.Index...), append(lat.Value, part.Value...), append(y, out...)
		for _, at := range part.Start[1:] {
			lat.Start = append(lat.Start, base+at)
		}
	}
	return lat, y, nil
}
