package sae

// topKArch keeps the k largest scores of a row, and of these those above zero (arXiv:2406.04093).
func topKArch(name string) architecture {
	return architecture{
		name: name, usesK: true, tensors: withBias, bias: encoderBias,
		activate: func(s *SAE, h []float32, to *active) {
			index, value := to.scratch(s.K)
			topK(h, index, value)
			for j, i := range index {
				if value[j] > 0 {
					to.add(i, value[j])
				}
			}
		},
		write: writeTopK,
	}
}

func writeTopK(s *SAE, cfg map[string]any) {
	cfg["k"] = s.K
	cfg["rescale_acts_by_decoder_norm"] = s.RescaleByDecoder
}
