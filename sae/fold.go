package sae

import "fmt"

// FoldScale turns an SAE of scale * x into one of x: W_enc * scale, W_dec / scale, b_dec / scale. Thresholds and gates
// act on pre-activations, which stay the same. It is how SAELens releases SAEs trained with expected_average_only_in.
func (s *SAE) FoldScale(scale float64) error {
	switch {
	case s.Transcoder():
		return fmt.Errorf("sae: fold scale: %s has no single scale of input and output; scale its activations instead", s.Arch)
	case s.Arch == ArchMatchingPursuit || s.Arch == ArchTemporal:
		return fmt.Errorf("sae: fold scale: %s is tied, so that a scale cannot be folded into it; train it without", s.Arch)
	}
	if !(scale > 0) {
		return fmt.Errorf("sae: fold scale: the scale is %v; it must be positive", scale)
	}
	s.foldScales(float32(scale), float32(scale))
	return nil
}

// foldScales makes an SAE from in * x to out * y into one from x to y.
func (s *SAE) foldScales(in, out float32) {
	scaleBy(s.WEnc, in)
	for _, v := range [][]float32{s.WDec, s.BDec} {
		for i := range v {
			v[i] /= out
		}
	}
	scaleBy(s.WSkip, in/out)
}

// FoldDecoderNorm gives the decoder unit rows and moves the norms into encoder, biases and thresholds. The function
// stays the same for ReLU, JumpReLU and gated SAEs and for those with RescaleByDecoder. A plain TopK changes which
// latents it selects when it is folded, so that it is refused, as matching pursuit and temporal are, which are tied.
func (s *SAE) FoldDecoderNorm() error {
	switch s.Arch {
	case ArchMatchingPursuit, ArchTemporal:
		return fmt.Errorf("sae: fold decoder norms: %s uses its decoder as encoder; leave it as it is", s.Arch)
	}
	if a, err := architectureOf(s.Arch); err != nil {
		return fmt.Errorf("sae: fold decoder norms: %w", err)
	} else if a.usesK && !s.RescaleByDecoder {
		return fmt.Errorf("sae: fold decoder norms: %s selects by pre-activation, so that folding the norms would change its latents", s.Arch)
	}
	for i := range s.DSAE {
		row := s.Decoder(i)
		n := norm2(row)
		if n == 0 {
			continue
		}
		for j := range row {
			row[j] /= n
		}
		for _, v := range [][]float32{s.BEnc, s.Threshold, s.BGate, s.BMag} {
			if v != nil {
				v[i] *= n
			}
		}
		for j := range s.DIn {
			s.WEnc[j*s.DSAE+i] *= n
		}
	}
	return nil
}

// FoldWhitening turns an SAE of whitened activations z = (x - mean) W into one of x: W_enc becomes W W_enc, W_dec and
// b_dec are mapped back by the unwhitening matrix U = W^-1, and mean is added to b_dec. mean is [d], whiten and
// unwhiten are [d, d], applied from the right.
func (s *SAE) FoldWhitening(mean, whiten, unwhiten []float64) error {
	d, f := s.DIn, s.DSAE
	if s.Transcoder() || s.WEnc == nil || !s.ApplyBDecToInput {
		return fmt.Errorf("sae: fold whitening: it needs an encoder matrix and b_dec in the input; %s has not both", s.Arch)
	}
	if s.Normalize != NormalizeNone && s.Normalize != NormalizeExpected {
		return fmt.Errorf("sae: fold whitening: the SAE normalises each row (%s), which does not commute with whitening", s.Normalize)
	}
	if len(mean) != d || len(whiten) != d*d || len(unwhiten) != d*d {
		return fmt.Errorf("sae: fold whitening: mean and matrices have %d, %d and %d values, want %d, %d and %d", len(mean), len(whiten), len(unwhiten), d, d*d, d*d)
	}
	enc := make([]float64, d*f)
	for i := range d {
		for j := range d {
			w := whiten[i*d+j]
			for k, v := range s.WEnc[j*f : (j+1)*f] {
				enc[i*f+k] += w * float64(v)
			}
		}
	}
	for i, v := range enc {
		s.WEnc[i] = float32(v)
	}
	back := func(row []float32, shift []float64) {
		out := make([]float64, d)
		copy(out, shift)
		for j, v := range row {
			for k := range out {
				out[k] += float64(v) * unwhiten[j*d+k]
			}
		}
		for j, v := range out {
			row[j] = float32(v)
		}
	}
	for i := range f {
		back(s.Decoder(i), nil)
	}
	back(s.BDec, mean)
	return nil
}
