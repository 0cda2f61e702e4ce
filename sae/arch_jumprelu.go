package sae

// jumpReLUArch keeps scores above both zero and the latent's threshold (arXiv:2407.14435). The thresholds are never
// kept in half precision.
func jumpReLUArch(name string) architecture {
	return architecture{
		name: name, bias: encoderBias,
		tensors: func(s *SAE) []slot { return append(withBias(s), slot{"threshold", []int{s.DSAE}, &s.Threshold}) },
		activate: func(s *SAE, h []float32, to *active) {
			for i, v := range h {
				if v > s.Threshold[i] && v > 0 {
					to.add(int32(i), v)
				}
			}
		},
	}
}

// batchTopKToJumpReLU turns an SAE with the tensors of batchtopk into the jumprelu that SAELens saves it as: the running
// threshold of the batches becomes that of every latent. With RescaleByDecoder the norms are folded first.
func (s *SAE) batchTopKToJumpReLU(threshold float32) error {
	rescale := s.RescaleByDecoder
	s.RescaleByDecoder = false
	s.Arch = ArchStandard
	if rescale {
		if err := s.FoldDecoderNorm(); err != nil {
			return err
		}
	}
	s.Arch, s.K = ArchJumpReLU, 0
	s.Threshold = make([]float32, s.DSAE)
	for i := range s.Threshold {
		s.Threshold[i] = threshold
	}
	return nil
}
