package sae

// standardArch is f = relu(x W_enc + b_enc).
func standardArch(name string) architecture {
	return architecture{
		name: name, tensors: withBias, bias: encoderBias,
		activate: func(_ *SAE, h []float32, to *active) {
			for i, v := range h {
				if v > 0 {
					to.add(int32(i), v)
				}
			}
		},
	}
}
