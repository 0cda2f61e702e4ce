package sae

import "math"

// gatedArch is f = 1[x W_enc + b_gate > 0] * relu(x (W_enc exp(r_mag)) + b_mag), with one product for both halves
// (arXiv:2404.16014).
func gatedArch() architecture {
	return architecture{
		name: ArchGated,
		tensors: func(s *SAE) []slot {
			f := []int{s.DSAE}
			return append(linear(s), slot{"b_gate", f, &s.BGate}, slot{"b_mag", f, &s.BMag}, slot{"r_mag", f, &s.RMag})
		},
		activate: func(s *SAE, h []float32, to *active) {
			for i, v := range h {
				if v+s.BGate[i] <= 0 {
					continue
				}
				if m := v*float32(math.Exp(float64(s.RMag[i]))) + s.BMag[i]; m > 0 {
					to.add(int32(i), m)
				}
			}
		},
	}
}
