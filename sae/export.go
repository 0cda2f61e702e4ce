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
	if cfg.folds() { // folded by the trainer
		s.Normalize = NormalizeNone
	}
	if cfg.selects() {
		s.K = cfg.K
	}
	if cfg.Arch == ArchMatryoshka && cfg.Matryoshka.PerRow {
		s.Arch = ArchTopK
	}
	if cfg.archetypal() {
		s.Arch, s.WDec = cfg.base(), archetypeDictionary(cfg, w)
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

// SAE returns the trained autoencoder for raw activations, in the form that SAELens saves it: batchtopk and matryoshka
// become jumprelu with the running threshold; where latents are selected by pre * |W_dec row|, the norms of the decoder
// rows are folded; and so is the normalisation of the data, a scale s (W_enc * s, W_dec / s, b_dec / s) or that of each
// dimension.
func (t *Trainer) SAE() (*SAE, error) {
	if t.cfg.crosses() || t.cfg.crossLayer() {
		return nil, fmt.Errorf("sae: %s is no SAE of one site; use Coder", t.cfg.Arch)
	}
	p, err := t.eng.snapshot()
	if err != nil {
		return nil, err
	}
	out := exported(t.cfg, p.w.clone())
	maps.Copy(out.Metadata, t.meta)
	if t.cfg.Arch == ArchTemporal {
		exportTemporal(t.cfg, p.w.clone(), out, t.scales[0])
		return out, out.Validate()
	}
	fold := t.cfg.RescaleByDecoder
	if t.cfg.byBatch() {
		out.Arch = ArchStandard // its tensors, until it becomes jumprelu
		err = out.batchTopKToJumpReLU(float32(t.threshold[0]))
	} else if fold {
		err = out.FoldDecoderNorm()
	}
	if err != nil {
		return nil, err
	}
	if t.cfg.Normalize == NormalizePerDimension {
		out.foldStandard(t.standard, t.outStandard)
		fold = fold && t.cfg.byBatch() // the norms are not all the same any more, so that topk would select others
	} else {
		out.foldScales(float32(t.scales[0]), float32(t.outScales[0]))
	}
	if fold { // again, for unit rows in the units of the activations
		err = out.FoldDecoderNorm()
	}
	out.RescaleByDecoder = false // the norms are folded
	return out, err
}
