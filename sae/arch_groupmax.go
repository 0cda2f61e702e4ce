package sae

import "fmt"

// groupMaxArch keeps the largest of each of k groups of F/k neighbouring latents, where it is above zero
// (EleutherAI/sparsify).
func groupMaxArch() architecture {
	return architecture{
		name: ArchGroupMax, usesK: true, tensors: withBias, bias: encoderBias,
		activate: func(s *SAE, h []float32, to *active) {
			size := s.DSAE / s.K
			for lo := 0; lo < len(h); lo += size {
				best := lo
				for i := lo + 1; i < lo+size; i++ {
					if h[i] > h[best] {
						best = i
					}
				}
				if h[best] > 0 {
					to.add(int32(best), h[best])
				}
			}
		},
		write: writeTopK,
		validate: func(s *SAE) error {
			if s.DSAE%s.K != 0 {
				return fmt.Errorf("d_sae %d does not divide into k = %d groups", s.DSAE, s.K)
			}
			return nil
		},
	}
}
