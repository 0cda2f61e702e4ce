package model

// mistralFamily reads Mistral: Llama with a sliding window in every layer.
func mistralFamily() family {
	return llamaFiles("mistral", func(c *config) Spec {
		s := llamaSpec(c, llamaDefaults{eps: 1e-6})
		s.Window = c.uniformWindow(s.Layers, 4096)
		return s
	})
}
