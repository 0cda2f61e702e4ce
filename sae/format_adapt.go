package sae

import (
	"fmt"
	"math"
)

// adapted returns a copy of s in the form that a tool computes: with b_dec subtracted from the input or not, and without
// the rescaling by decoder norms. The function is the same up to rounding; notes say what changed.
func (s *SAE) adapted(subtract bool) (*SAE, []string, error) {
	if s.Normalize != NormalizeNone && s.Normalize != NormalizeExpected {
		return nil, nil, fmt.Errorf("the SAE normalises each row (%s), which the format cannot say; write another format", s.Normalize)
	}
	c, notes := s.clone(), []string(nil)
	if c.RescaleByDecoder {
		if err := c.FoldDecoderNorm(); err != nil {
			return nil, nil, err
		}
		c.RescaleByDecoder = false
		notes = append(notes, "the norms of the decoder rows moved into the encoder")
	}
	if !c.Transcoder() && c.ApplyBDecToInput != subtract {
		if err := c.moveBDec(subtract); err != nil {
			return nil, nil, err
		}
		notes = append(notes, map[bool]string{
			true:  "b_dec is now subtracted from the input, and b_enc makes up for it",
			false: "b_dec is no longer subtracted from the input, and b_enc makes up for it",
		}[subtract])
	}
	return c, notes, nil
}

// moveBDec changes whether b_dec is subtracted from the input: (x - b_dec) W + b = x W + (b - b_dec W).
func (s *SAE) moveBDec(subtract bool) error {
	if s.WEnc == nil {
		return fmt.Errorf("%s has no encoder bias that could make up for b_dec in the input", s.Arch)
	}
	shift := make([]float64, s.DSAE) // b_dec W_enc
	for j, b := range s.BDec {
		for i, w := range s.WEnc[j*s.DSAE : (j+1)*s.DSAE] {
			shift[i] += float64(b) * float64(w)
		}
	}
	sign := -1.0
	if subtract {
		sign = 1
	}
	move := func(bias []float32, scale func(i int) float64) {
		for i := range bias {
			bias[i] = float32(float64(bias[i]) + sign*shift[i]*scale(i))
		}
	}
	one := func(int) float64 { return 1 }
	move(s.BEnc, one)
	if s.Arch == ArchGated {
		move(s.BGate, one)
		move(s.BMag, func(i int) float64 { return math.Exp(float64(s.RMag[i])) })
	}
	s.ApplyBDecToInput = subtract
	return nil
}
