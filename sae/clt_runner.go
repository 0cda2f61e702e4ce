package sae

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// newCLTRunner applies a cross-layer transcoder to many rows: the encoder products of all layers on the backend, in fixed
// batches, activation and decoding in Go.
func newCLTRunner(b compute.Backend, c *CLT, batch int) (coderRunner, error) {
	if err := c.checkRows(nil); err != nil {
		return coderRunner{}, err
	}
	if batch < 1 {
		return coderRunner{}, fmt.Errorf("sae: batch is %d; it must be at least 1", batch)
	}
	exec, err := NewExec(b, cltPreGraph)
	if err != nil {
		return coderRunner{}, fmt.Errorf("sae: build the encoder: %w", err)
	}
	n := len(c.Layers)
	var enc, bias []float32
	for _, l := range c.Layers {
		enc, bias = append(enc, l.WEnc...), append(bias, l.BEnc...)
	}
	w := tensors.FromFlatDataAndDimensions(enc, n, c.DSAE, c.DIn)
	h := tensors.FromFlatDataAndDimensions(bias, n*c.DSAE)
	width, f := n*c.DIn, n*c.DSAE
	encode := func(x []float32) (Latents, error) {
		padded := make([]float32, batch*width)
		copy(padded, x)
		in := tensors.FromFlatDataAndDimensions(padded, batch, width)
		defer in.MustFinalizeAll()
		pre, err := exec.Call1(in, w, h)
		if err != nil {
			return Latents{}, fmt.Errorf("sae: encode: %w", err)
		}
		defer pre.MustFinalizeAll()
		var lat Latents
		err = tensors.ConstFlatData(pre, func(all []float32) {
			lat = c.activate(len(x)/width, func(r int, row []float32) { copy(row, all[r*f:(r+1)*f]) }, f)
		})
		if err != nil {
			return lat, fmt.Errorf("sae: read the encoder's output: %w", err)
		}
		return lat, nil
	}
	return coderRunner{
		reconstruct: func(ctx context.Context, x []float32) (Latents, []float32, error) {
			if err := ctx.Err(); err != nil {
				return Latents{}, nil, err
			}
			if len(x)%width != 0 || len(x) > batch*width {
				return Latents{}, nil, fmt.Errorf("sae: CLT: %d values are not at most %d rows of %d layers of width d_in = %d", len(x), batch, n, c.DIn)
			}
			lat, err := encode(x)
			if err != nil {
				return lat, nil, err
			}
			y, err := c.Decode(lat)
			if err == nil {
				c.skip(x, y)
			}
			return lat, y, err
		},
		close: func() {
			exec.Finalize()
			w.MustFinalizeAll()
			h.MustFinalizeAll()
		},
	}, nil
}
