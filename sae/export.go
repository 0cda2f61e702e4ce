package sae

import (
	"fmt"
	"maps"
)

// exported returns the SAE that weights in training are, for inputs as the trainer sees them. batchtopk and matryoshka
// have still to become jumprelu; see [SAE.batchTopKToJumpReLU].
func exported(cfg Config, w weights) *SAE {
	s := &SAE{
		Arch: cfg.Arch, DIn: cfg.DIn, DSAE: cfg.DSAE, DOut: cfg.DOut,
		ApplyBDecToInput: !cfg.transcodes(), Normalize: cfg.Normalize, RescaleByDecoder: cfg.RescaleByDecoder,
		WDec: w.dec, BEnc: w.bEnc, BDec: w.bDec,
		BGate: w.named(cfg, "b_gate"), BMag: w.named(cfg, "b_mag"), RMag: w.named(cfg, "r_mag"),
		WSkip: w.named(cfg, "W_skip"), Threshold: w.named(cfg, "threshold"),
		Metadata: map[string]any{},
	}
	if cfg.scales() { // folded by the trainer
		s.Normalize = NormalizeNone
	}
	if cfg.selects() {
		s.K = cfg.K
	}
	if cfg.Arch == ArchMatryoshka && cfg.Matryoshka.PerRow {
		s.Arch = ArchTopK
	}
	if w.enc != nil {
		s.WEnc = make([]float32, len(w.enc))
		transpose(s.WEnc, w.enc, cfg.DSAE, cfg.DIn)
	}
	if cfg.Arch == ArchMatchingPursuit {
		s.Pursuit = &Pursuit{cfg.Pursuit.Iterations, cfg.Pursuit.Residual, cfg.Pursuit.StopDuplicate}
	}
	for i, v := range s.Threshold { // a threshold below zero does what zero does
		s.Threshold[i] = max(v, 0)
	}
	return s
}

// SAE returns the trained autoencoder for raw activations, in the form that SAELens saves it: an input scale s is folded
// (W_enc * s, W_dec / s, b_dec / s); batchtopk and matryoshka become jumprelu with the running threshold; and, when
// latents are selected by pre * |W_dec row|, the norms of the decoder rows are folded.
func (t *Trainer) SAE() (*SAE, error) {
	if t.cfg.crosses() {
		return nil, fmt.Errorf("sae: %s is no SAE of one site; use Crosscoder", t.cfg.Arch)
	}
	p, err := t.eng.snapshot()
	if err != nil {
		return nil, err
	}
	out := exported(t.cfg, p.w.clone())
	maps.Copy(out.Metadata, t.meta)
	threshold, scale, outScale := t.threshold[0], t.scales[0], t.outScales[0]
	if t.cfg.byBatch() {
		out.Arch = ArchStandard // its tensors, until it becomes jumprelu
	}
	if scale != 1 || outScale != 1 {
		rescale := out.RescaleByDecoder
		out.foldScales(float32(scale), float32(outScale))
		if rescale { // scores hold the norms of the decoder, which were divided by the scale
			threshold /= scale
		}
	}
	switch {
	case t.cfg.byBatch():
		return out, out.batchTopKToJumpReLU(float32(threshold))
	case t.cfg.RescaleByDecoder:
		if err := out.FoldDecoderNorm(); err != nil {
			return nil, err
		}
		out.RescaleByDecoder = false // of no effect with unit rows
	}
	return out, nil
}
