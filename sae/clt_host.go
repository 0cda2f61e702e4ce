package sae

import "fmt"

// Encode returns the active latents of the rows of x, [n, layers * d_in], each row's in falling order of magnitude. It is the
// reference, on the host: products are summed in float64 and rounded to float32 once.
func (c *CLT) Encode(x []float32) (Latents, error) {
	if err := c.checkRows(x); err != nil {
		return Latents{}, err
	}
	width, f := len(c.Layers)*c.DIn, len(c.Layers)*c.DSAE
	return c.activate(len(x)/width, func(r int, h []float32) {
		for l := range c.Layers {
			xl := x[r*width+l*c.DIn : r*width+(l+1)*c.DIn]
			for i := range c.DSAE {
				sum := float64(c.Layers[l].BEnc[i])
				for j, v := range c.Encoder(l, i) {
					sum += float64(v) * float64(xl[j])
				}
				h[l*c.DSAE+i] = float32(sum)
			}
		}
	}, f), nil
}

func (c *CLT) checkRows(x []float32) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if len(x)%(len(c.Layers)*c.DIn) != 0 {
		return fmt.Errorf("sae: CLT: %d values are not rows of %d layers of width d_in = %d", len(x), len(c.Layers), c.DIn)
	}
	return nil
}

// activate returns the active latents of n rows, of which pre writes the pre-activations, [f].
func (c *CLT) activate(n int, pre func(r int, h []float32), f int) Latents {
	parts := make([]active, chunks(n))
	parallel(n, func(_, part, lo, hi int) {
		rows := &parts[part]
		rows.reset()
		h := make([]float32, f)
		for r := lo; r < hi; r++ {
			pre(r, h)
			c.activateRow(h, rows)
			rows.endRow()
		}
	})
	out := Latents{Start: []int{0}}
	for i := range parts {
		parts[i].appendTo(&out)
	}
	return out
}

// activateRow adds the latents that are active with pre-activations h of all layers.
func (c *CLT) activateRow(h []float32, to *active) {
	if c.Activation == ActivationTopK {
		groups := 1
		if c.PerLayer {
			groups = len(c.Layers)
		}
		size := len(h) / groups
		index, value := to.scratch(c.K / groups)
		for g := range groups {
			topK(h[g*size:(g+1)*size], index, value)
			for j, i := range index {
				if value[j] > 0 {
					to.add(i+int32(g*size), value[j])
				}
			}
		}
		return
	}
	for l := range c.Layers {
		theta := c.Layers[l].Threshold
		for i, v := range h[l*c.DSAE : (l+1)*c.DSAE] {
			if v > 0 && (theta == nil || v > theta[i]) {
				to.add(int32(l*c.DSAE+i), v)
			}
		}
	}
}

// Decode returns what each row of latents writes to all layers, with b_dec and without the linear path, [n, layers * d_out].
func (c *CLT) Decode(lat Latents) ([]float32, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := len(c.Layers)
	for _, i := range lat.Index {
		if i < 0 || int(i) >= n*c.DSAE {
			return nil, fmt.Errorf("sae: CLT: decode: latent %d of %d", i, n*c.DSAE)
		}
	}
	width := n * c.DOut
	out := make([]float32, lat.Rows()*width)
	parallel(lat.Rows(), func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			row := out[r*width : (r+1)*width]
			for m := range c.Layers {
				copy(row[m*c.DOut:], c.Layers[m].BDec)
			}
			index, value := lat.Row(r)
			for j, at := range index {
				if value[j] == 0 {
					continue
				}
				layer, i := int(at)/c.DSAE, int(at)%c.DSAE
				size := (n - layer) * c.DOut // its rows lie together, as do the layers that they write to
				axpy(value[j], c.Layers[layer].WDec[i*size:(i+1)*size], row[layer*c.DOut:])
			}
		}
	})
	return out, nil
}

// Reconstruct returns the latents of the rows of x, [n, layers * d_in], and what they make of all layers' outputs,
// [n, layers * d_out].
func (c *CLT) Reconstruct(x []float32) (Latents, []float32, error) {
	lat, err := c.Encode(x)
	if err != nil {
		return lat, nil, err
	}
	y, err := c.Decode(lat)
	if err == nil {
		c.skip(x, y)
	}
	return lat, y, err
}

// skip adds the linear path from inputs x to outputs y.
func (c *CLT) skip(x, y []float32) {
	if c.Layers[0].WSkip == nil {
		return
	}
	n := len(c.Layers)
	for r := range len(x) / (n * c.DIn) {
		for l := range n {
			xl, yl := x[(r*n+l)*c.DIn:(r*n+l+1)*c.DIn], y[(r*n+l)*c.DOut:(r*n+l+1)*c.DOut]
			for j, v := range xl {
				axpy(v, c.Layers[l].WSkip[j*c.DOut:(j+1)*c.DOut], yl)
			}
		}
	}
}
