package sae

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Fold moves the scales of the sites into the weights, so that the crosscoder is one of raw activations: W_enc,l * s_l,
// W_dec,l / s_l, b_dec,l / s_l. With topk and batchtopk the code norms are part of the selection; they stay right only where
// all scales are equal, or the norm is none.
func (c *Crosscoder) Fold() error {
	if c.Scales == nil {
		return nil
	}
	if err := c.Validate(); err != nil {
		return err
	}
	first := c.Scales[0]
	same := !slices.ContainsFunc(c.Scales, func(s float32) bool { return s != first })
	selects := c.Activation == ActivationTopK || c.Activation == ActivationBatchTopK
	if selects && !same && c.Norm != CodeNormNone {
		return fmt.Errorf("sae: crosscoder: fold: the sites have the scales %v, and %s selects by code norms, which would change by different factors; use Flat, or keep the scales", c.Scales, c.Activation)
	}
	for l, s := range c.Scales {
		scaleBy(c.WEnc[l*c.DIn*c.DSAE:(l+1)*c.DIn*c.DSAE], s)
		for i := range c.DSAE {
			divideBy(c.Decoder(i, l), s)
		}
		divideBy(c.BDec[l*c.DIn:(l+1)*c.DIn], s)
	}
	if c.Activation == ActivationBatchTopK && c.Norm != CodeNormNone {
		divideBy(c.Threshold, first) // it is compared with norms, which were divided
	}
	c.Scales = nil
	return nil
}

// Flat returns the crosscoder as an SAE of the concatenated activations, d_in = sites * d_in, which computes the same. With
// topk and batchtopk its latents are the crosscoder's times their code norms, which are divided out of the decoder; batchtopk
// becomes jumprelu. A decoupled batchtopk is no such SAE.
func (c *Crosscoder) Flat() (*SAE, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Activation == ActivationBatchTopK && c.Norm == CodeNormDecoupled {
		return nil, errors.New("sae: crosscoder: a decoupled crosscoder selects its latents for each site, which no SAE does")
	}
	w := c.Sites * c.DIn
	s := &SAE{
		Arch: ArchStandard, DIn: w, DSAE: c.DSAE, Normalize: NormalizeNone,
		WEnc: slices.Clone(c.WEnc), WDec: slices.Clone(c.WDec), BEnc: slices.Clone(c.BEnc), BDec: slices.Clone(c.BDec),
		Metadata: map[string]any{},
	}
	maps.Copy(s.Metadata, c.Metadata)
	switch c.Activation {
	case ActivationJumpReLU:
		s.Arch, s.Threshold = ArchJumpReLU, slices.Clone(c.Threshold)
	case ActivationTopK, ActivationBatchTopK:
		s.foldCodeNorms(c.CodeNorms())
		if s.Arch, s.K = ArchTopK, c.K; c.Activation == ActivationBatchTopK {
			s.Arch, s.K, s.Threshold = ArchJumpReLU, 0, slices.Repeat([]float32{max(c.Threshold[0], 0)}, c.DSAE)
		}
	}
	for l := range c.Sites {
		scale := c.scale(l)
		scaleBy(s.WEnc[l*c.DIn*c.DSAE:(l+1)*c.DIn*c.DSAE], scale)
		for i := range c.DSAE {
			divideBy(s.Decoder(i)[l*c.DIn:(l+1)*c.DIn], scale)
		}
		divideBy(s.BDec[l*c.DIn:(l+1)*c.DIn], scale)
	}
	return s, s.Validate()
}

// writeFlat writes the crosscoder as an SAE of the concatenated activations.
func (c *Crosscoder) writeFlat(path, format string) ([]string, error) {
	s, err := c.Flat()
	if err != nil {
		return nil, err
	}
	notes := []string{fmt.Sprintf("it is now an SAE of the %d sites' activations, one after the other, d_in %d", c.Sites, s.DIn)}
	more, err := s.Write(path, format)
	return append(notes, more...), err
}

// foldCodeNorms multiplies each latent by its norm and divides its decoder row. A latent of norm 0 writes nothing and stays.
func (s *SAE) foldCodeNorms(norms []float64) {
	for i, n := range norms {
		if n == 0 {
			continue
		}
		for j := range s.DIn {
			s.WEnc[j*s.DSAE+i] = float32(float64(s.WEnc[j*s.DSAE+i]) * n)
		}
		s.BEnc[i] = float32(float64(s.BEnc[i]) * n)
		row := s.Decoder(i)
		for j, v := range row {
			row[j] = float32(float64(v) / n)
		}
	}
}

func divideBy(x []float32, by float32) {
	for i := range x {
		x[i] /= by
	}
}

// Crosscoder returns the trained crosscoder. Scales of the sites are kept apart, so that decoder norms compare the sites in
// the units of the training; see [Crosscoder.Fold].
func (t *Trainer) Crosscoder() (*Crosscoder, error) {
	cfg := t.cfg
	if !cfg.crosses() {
		return nil, fmt.Errorf("sae: %s is no crosscoder; use SAE", cfg.Arch)
	}
	p, err := t.eng.snapshot()
	if err != nil {
		return nil, err
	}
	w := p.w.clone()
	c := &Crosscoder{
		Sites: cfg.Layers, DIn: cfg.DIn, DSAE: cfg.DSAE, Norm: cfg.Crosscoder.Norm, AlphaSAE: cfg.Crosscoder.AlphaSAE, AlphaCC: cfg.Crosscoder.AlphaCC,
		WEnc: turned(w.enc, cfg.DSAE, cfg.inWidth()), WDec: w.dec, BEnc: w.bEnc, BDec: w.bDec, Metadata: map[string]any{},
	}
	maps.Copy(c.Metadata, t.meta)
	switch cfg.base() {
	case ArchStandard:
		c.Activation = ActivationReLU
	case ArchJumpReLU:
		c.Activation, c.Threshold = ActivationJumpReLU, w.named(cfg, "threshold")
		for i, v := range c.Threshold { // below zero it does what zero does
			c.Threshold[i] = max(v, 0)
		}
	case ArchTopK:
		c.Activation, c.K = ActivationTopK, cfg.K
	case ArchBatchTopK:
		c.Activation, c.K = ActivationBatchTopK, cfg.batchK()/cfg.Batch
		for _, v := range t.threshold {
			c.Threshold = append(c.Threshold, float32(v))
		}
	}
	if cfg.scales() {
		for _, s := range t.scales {
			c.Scales = append(c.Scales, float32(s))
		}
	}
	return c, c.Validate()
}
