package sae

import (
	"fmt"
	"maps"
)

// CLT returns the trained cross-layer transcoder for raw activations: scales of the layers are folded, as are the norms of the
// decoder rows where they are part of the selection, and batchtopk becomes jumprelu with the running threshold.
func (t *Trainer) CLT() (*CLT, error) {
	cfg := t.cfg
	if !cfg.crossLayer() {
		return nil, fmt.Errorf("sae: %s is no cross-layer transcoder; use Coder", cfg.Arch)
	}
	p, err := t.eng.snapshot()
	if err != nil {
		return nil, err
	}
	w := p.w.clone()
	f, d, width := cfg.DSAE, cfg.DIn, cfg.width()/cfg.Layers
	c := &CLT{DIn: d, DOut: width, DSAE: f, Activation: ActivationReLU, Layers: make([]CLTLayer, cfg.Layers), Metadata: map[string]any{}}
	maps.Copy(c.Metadata, t.meta)
	switch cfg.base() {
	case ArchJumpReLU, ArchBatchTopK:
		c.Activation = ActivationJumpReLU
	case ArchTopK:
		c.Activation, c.K, c.PerLayer = ActivationTopK, cfg.K, cfg.CLT.PerLayer
	}
	for l := range c.Layers {
		at := &c.Layers[l]
		at.WEnc, at.BEnc = w.enc[l*f*d:(l+1)*f*d], w.bEnc[l*f:(l+1)*f]
		at.WDec, at.BDec = w.named(cfg, cltDecoder(l)), w.bDec[l*width:(l+1)*width]
		if c.Activation == ActivationJumpReLU {
			at.Threshold = make([]float32, f)
			for i := range at.Threshold {
				if cfg.byBatch() {
					at.Threshold[i] = max(float32(t.threshold[min(l, len(t.threshold)-1)]), 0)
				} else {
					at.Threshold[i] = max(w.named(cfg, "threshold")[l*f+i], 0)
				}
			}
		}
		if cfg.RescaleByDecoder && cfg.selects() {
			c.foldNorms(l)
		}
		scaleBy(at.WEnc, float32(t.scales[l]))
		divideBy(at.BDec, float32(t.outScales[l]))
		for i := range f {
			for m := l; m < cfg.Layers; m++ {
				divideBy(c.Decoder(l, i, m), float32(t.outScales[m]))
			}
		}
	}
	return c, c.Validate()
}

// foldNorms gives the decoder rows of a layer's latents norm 1 and multiplies what the latents read by the norms, so that
// pre-activations become the scores that a selection with RescaleByDecoder compares.
func (c *CLT) foldNorms(layer int) {
	l := &c.Layers[layer]
	size := len(l.WDec) / c.DSAE
	for i := range c.DSAE {
		row := l.WDec[i*size : (i+1)*size]
		n := norm2(row)
		if n == 0 {
			continue
		}
		divideBy(row, n)
		scaleBy(c.Encoder(layer, i), n)
		l.BEnc[i] *= n
	}
}
