package sae

import "fmt"

// SAE is a trained autoencoder in SAELens's layout, for inference.
type SAE struct {
	Arch             string // "topk"
	DIn, DSAE, K     int
	ApplyBDecToInput bool   // subtract b_dec before encoding
	Normalize        string // "none", "expected_average_only_in" (no effect here), "layer_norm" or "constant_norm_rescale"
	RescaleByDecoder bool   // select by, and report, pre * |W_dec row|; divide by it when decoding

	WEnc, WDec, BEnc, BDec []float32 // [d, F], [F, d], [F], [d]

	// Metadata is cfg.json's "metadata": model_name, hook_name and whatever else was there.
	Metadata map[string]any
}

// Validate checks sizes and settings; the error names the first wrong one.
func (s *SAE) Validate() error {
	if s.Arch != ArchTopK {
		return fmt.Errorf("sae: architecture %q is not supported; supported: %q", s.Arch, ArchTopK)
	}
	if s.DIn < 1 || s.DSAE < 1 || s.K < 1 || s.K > s.DSAE {
		return fmt.Errorf("sae: d_in %d, d_sae %d, k %d: sizes must be positive and k at most d_sae", s.DIn, s.DSAE, s.K)
	}
	switch s.Normalize {
	case NormalizeNone, NormalizeExpected, normalizeLayerNorm, normalizeConstantNorm:
	default:
		return fmt.Errorf("sae: normalize_activations %q is not supported", s.Normalize)
	}
	for _, t := range []struct {
		name string
		got  []float32
		want int
	}{
		{"W_enc", s.WEnc, s.DIn * s.DSAE}, {"W_dec", s.WDec, s.DSAE * s.DIn},
		{"b_enc", s.BEnc, s.DSAE}, {"b_dec", s.BDec, s.DIn},
	} {
		if len(t.got) != t.want {
			return fmt.Errorf("sae: %s has %d values, want %d for d_in %d and d_sae %d", t.name, len(t.got), t.want, s.DIn, s.DSAE)
		}
	}
	return nil
}

// Decoder returns row i of W_dec, the direction that latent i writes. The caller must not change it.
func (s *SAE) Decoder(i int) []float32 { return s.WDec[i*s.DIn : (i+1)*s.DIn] }

// foldScale makes an SAE of scale * x into one of x: W_enc * scale, W_dec / scale, b_dec / scale.
func (s *SAE) foldScale(scale float32) {
	for i := range s.WEnc {
		s.WEnc[i] *= scale
	}
	for i := range s.WDec {
		s.WDec[i] /= scale
	}
	for i := range s.BDec {
		s.BDec[i] /= scale
	}
}

// foldDecoderNorm gives the decoder unit rows and moves the norms into the encoder. It keeps the function only where
// latents are selected by pre * |W_dec row|, that is, with RescaleByDecoder; a plain TopK must not be folded.
func (s *SAE) foldDecoderNorm() {
	for i := range s.DSAE {
		row := s.Decoder(i)
		n := norm2(row)
		if n == 0 {
			continue
		}
		for j := range row {
			row[j] /= n
		}
		s.BEnc[i] *= n
		for j := range s.DIn {
			s.WEnc[j*s.DSAE+i] *= n
		}
	}
}
