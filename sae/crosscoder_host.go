package sae

import "fmt"

// Encode returns the active latents of the rows of x, [n, sites * d_in], each row's in falling order of magnitude. It is the
// reference, on the host: products are summed in float64 and rounded to float32 once.
func (c *Crosscoder) Encode(x []float32) (Latents, error) {
	if err := c.Validate(); err != nil {
		return Latents{}, err
	}
	w := c.Sites * c.DIn
	if len(x)%w != 0 {
		return Latents{}, fmt.Errorf("sae: crosscoder: %d values are not rows of %d sites of width %d", len(x), c.Sites, c.DIn)
	}
	view := &SAE{Arch: ArchStandard, DIn: w, DSAE: c.DSAE, WEnc: c.WEnc, BEnc: c.BEnc}
	arch := standardArch(ArchStandard)
	gate := c.gate()
	parts := make([]active, chunks(len(x)/w))
	parallel(len(x)/w, func(_, part, lo, hi int) {
		rows := &parts[part]
		rows.reset()
		xc, h := make([]float32, w), make([]float32, c.DSAE)
		for r := lo; r < hi; r++ {
			copy(xc, x[r*w:(r+1)*w])
			for l := range c.Sites {
				scaleBy(xc[l*c.DIn:(l+1)*c.DIn], c.scale(l))
			}
			view.scores(arch, xc, nil, h)
			gate.activate(h, rows)
			rows.endRow()
		}
	})
	out := Latents{Start: []int{0}}
	for i := range parts {
		parts[i].appendTo(&out)
	}
	return out, nil
}

// Decode returns the reconstruction from each row of latents, [n, sites * d_in].
func (c *Crosscoder) Decode(l Latents) ([]float32, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	for _, i := range l.Index {
		if i < 0 || int(i) >= c.DSAE {
			return nil, fmt.Errorf("sae: crosscoder: decode: latent %d of %d", i, c.DSAE)
		}
	}
	w := c.Sites * c.DIn
	out := make([]float32, l.Rows()*w)
	gate := c.gate()
	parallel(l.Rows(), func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			row := out[r*w : (r+1)*w]
			copy(row, c.BDec)
			index, value := l.Row(r)
			for j, i := range index {
				for s := range c.Sites {
					if value[j] != 0 && gate.writes(value[j], int(i), s) {
						axpy(value[j], c.Decoder(int(i), s), row[s*c.DIn:(s+1)*c.DIn])
					}
				}
			}
			for s := range c.Sites {
				scaleBy(row[s*c.DIn:(s+1)*c.DIn], 1/c.scale(s))
			}
		}
	})
	return out, nil
}

// Reconstruct returns the latents of the rows of x, [n, sites * d_in], and their reconstructions, of the same shape.
func (c *Crosscoder) Reconstruct(x []float32) (Latents, []float32, error) {
	l, err := c.Encode(x)
	if err != nil {
		return l, nil, err
	}
	y, err := c.Decode(l)
	return l, y, err
}

// codeGate decides which latents are active, and at which sites.
type codeGate struct {
	c           *Crosscoder
	norms, site []float64 // code norms [F] and, if decoupled, those of each site [F, sites]
}

func (c *Crosscoder) gate() codeGate {
	g := codeGate{c: c, norms: c.CodeNorms()}
	if c.Activation == ActivationBatchTopK && c.Norm == CodeNormDecoupled {
		g.site = c.SiteNorms()
	}
	return g
}

// activate adds the latents that are active with pre-activations h, [F].
func (g codeGate) activate(h []float32, to *active) {
	if g.c.Activation == ActivationTopK {
		scores := make([]float32, len(h))
		for i, v := range h {
			scores[i] = float32(float64(v) * g.norms[i])
		}
		index, value := to.scratch(g.c.K)
		topK(scores, index, value)
		for _, i := range index {
			if h[i] > 0 {
				to.add(i, h[i])
			}
		}
		return
	}
	for i, v := range h {
		if v > 0 && g.passes(v, i) {
			to.add(int32(i), v)
		}
	}
}

// passes tells whether latent i is active with activation v > 0.
func (g codeGate) passes(v float32, i int) bool {
	switch g.c.Activation {
	case ActivationJumpReLU:
		return v > g.c.Threshold[i]
	case ActivationBatchTopK:
		if g.site == nil {
			return float64(v)*g.norms[i] > float64(g.c.Threshold[0])
		}
		for s := range g.c.Sites {
			if g.writes(v, i, s) {
				return true
			}
		}
		return false
	}
	return true
}

// writes tells whether active latent i with activation v takes part in a site's reconstruction.
func (g codeGate) writes(v float32, i, site int) bool {
	return g.site == nil || float64(v)*g.site[i*g.c.Sites+site] > float64(g.c.Threshold[site])
}
