package sae

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// openCLT lets r apply a cross-layer transcoder: the encoder products of all layers on the backend, in fixed batches,
// activation and decoding in Go.
func (r *CoderRunner) openCLT(b compute.Backend, c *CLT) error {
	exec, err := NewExec(b, cltPreGraph)
	if err != nil {
		return fmt.Errorf("sae: build the encoder: %w", err)
	}
	n := len(c.Layers)
	var enc, bias []float32
	for _, l := range c.Layers {
		enc, bias = append(enc, l.WEnc...), append(bias, l.BEnc...)
	}
	w := tensors.FromFlatDataAndDimensions(enc, n, c.DSAE, c.DIn)
	h := tensors.FromFlatDataAndDimensions(bias, n*c.DSAE)
	f := n * c.DSAE
	r.free = func() {
		exec.Finalize()
		w.MustFinalizeAll()
		h.MustFinalizeAll()
	}
	r.apply = func(x []float32) (Latents, []float32, error) {
		padded := make([]float32, r.batch*r.width)
		copy(padded, x)
		in := tensors.FromFlatDataAndDimensions(padded, r.batch, r.width)
		defer in.MustFinalizeAll()
		pre, err := exec.Call1(in, w, h)
		if err != nil {
			return Latents{}, nil, fmt.Errorf("sae: encode: %w", err)
		}
		defer pre.MustFinalizeAll()
		var lat Latents
		err = tensors.ConstFlatData(pre, func(all []float32) {
			lat = c.activate(len(x)/r.width, func(i int, row []float32) { copy(row, all[i*f:(i+1)*f]) }, f)
		})
		if err != nil {
			return lat, nil, fmt.Errorf("sae: read the encoder's output: %w", err)
		}
		y, err := c.Decode(lat)
		if err == nil {
			c.skip(x, y)
		}
		return lat, y, err
	}
	return nil
}
