package sae

// absTopKArch keeps the k scores of a row with the largest magnitudes, with their signs.
func absTopKArch() architecture {
	return architecture{
		name: ArchAbsTopK, usesK: true, tensors: withBias, bias: encoderBias,
		activate: func(s *SAE, h []float32, to *active) {
			index, value := to.scratch(s.K)
			size := to.magnitudes(h)
			topK(size, index, value)
			for _, i := range index {
				if h[i] != 0 {
					to.add(i, h[i])
				}
			}
		},
		write: writeTopK,
	}
}
