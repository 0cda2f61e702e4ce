package model

// olmo2Family reads OLMo-2: no norms before the sub-layers, one after each; q and k normalised over their whole width.
func olmo2Family() family {
	return llamaFiles("olmo2", func(c *config) Spec {
		s := llamaSpec(c, llamaDefaults{eps: 1e-5})
		s.Place, s.QKNorm = OutputNorm, QKNormWidth
		s.QKVBias = c.bool(false, "attention_bias")
		s.OBias = s.QKVBias
		return s
	})
}
