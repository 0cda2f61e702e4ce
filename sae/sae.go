package sae

import (
	"fmt"
	"slices"
)

// SAE is a trained autoencoder or transcoder in SAELens's layout, for inference. Which tensors it has depends on its
// architecture; the others are nil.
type SAE struct {
	Arch             string // one of Architectures()
	DIn, DSAE, K     int    // K: of topk and its like
	DOut             int    // width of the output, of transcoders; 0: DIn
	ApplyBDecToInput bool   // subtract b_dec before encoding; transcoders never do
	Normalize        string // "none", "expected_average_only_in" (no effect here), "layer_norm" or "constant_norm_rescale"
	RescaleByDecoder bool   // select by, and report, pre * |W_dec row|; divide by it when decoding
	HookZ            bool   // the input is the last two axes of a site of heads, flattened (reshape_activations "hook_z")

	WEnc, WDec, BEnc, BDec []float32 // [d_in, F], [F, d_out], [F], [d_out]
	Threshold              []float32 // [F]: jumprelu
	BGate, BMag, RMag      []float32 // [F]: gated, in place of b_enc
	WSkip                  []float32 // [d_out, d_in]: transcoders with a linear path
	Pursuit                *Pursuit  // matching_pursuit
	Temporal               *Temporal // temporal

	// Metadata is cfg.json's "metadata": model_name, hook_name and whatever else was there.
	Metadata map[string]any
}

// Width is the width of the output: DOut, or DIn where that is 0.
func (s *SAE) Width() int {
	if s.DOut > 0 {
		return s.DOut
	}
	return s.DIn
}

// Transcoder tells whether the SAE reads one site and writes another.
func (s *SAE) Transcoder() bool {
	a, err := architectureOf(s.Arch)
	return err == nil && a.transcoder
}

// Validate checks sizes and settings; the error names the first wrong one.
func (s *SAE) Validate() error {
	a, err := architectureOf(s.Arch)
	if err == nil {
		err = s.checkSettings(a)
	}
	if err != nil {
		return fmt.Errorf("sae: %w", err)
	}
	for _, t := range a.tensors(s) {
		want := 1
		for _, n := range t.shape {
			want *= n
		}
		if len(*t.at) != want {
			return fmt.Errorf("sae: %s has %d values, want shape %v", t.name, len(*t.at), t.shape)
		}
	}
	return nil
}

// checkSettings checks everything but the tensors.
func (s *SAE) checkSettings(a architecture) error {
	if err := checkSizes(s); err != nil {
		return err
	}
	switch {
	case a.usesK && (s.K < 1 || s.K > s.DSAE):
		return fmt.Errorf("k is %d; it must be between 1 and d_sae = %d", s.K, s.DSAE)
	case !a.transcoder && s.Width() != s.DIn:
		return fmt.Errorf("d_out is %d and d_in %d; only transcoders have two widths", s.Width(), s.DIn)
	case s.RescaleByDecoder && !a.usesK:
		return fmt.Errorf("rescale_acts_by_decoder_norm is for architectures with k, not %q", s.Arch)
	case !slices.Contains([]string{NormalizeNone, NormalizeExpected, normalizeLayerNorm, normalizeConstantNorm}, s.Normalize) &&
		!(s.Arch == ArchTemporal && s.Normalize == normalizeConstantScalar):
		return fmt.Errorf("normalize_activations %q is not supported", s.Normalize)
	}
	if a.validate != nil {
		return a.validate(s)
	}
	return nil
}

// Decoder returns row i of W_dec, the direction that latent i writes. The caller must not change it.
func (s *SAE) Decoder(i int) []float32 {
	d := s.Width()
	return s.WDec[i*d : (i+1)*d]
}

// clone returns a copy that shares no tensor.
func (s *SAE) clone() *SAE {
	c := *s
	if s.Temporal != nil {
		t := *s.Temporal
		t.Layers = slices.Clone(t.Layers)
		c.Temporal = &t
	}
	if s.Pursuit != nil {
		p := *s.Pursuit
		c.Pursuit = &p
	}
	if a, err := architectureOf(s.Arch); err == nil {
		for _, t := range a.tensors(&c) {
			*t.at = slices.Clone(*t.at)
		}
	}
	return &c
}
