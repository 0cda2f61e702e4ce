package model

// mistralFamily reads Mistral: Llama with a sliding window in every layer.
func mistralFamily() family {
	return llamaFiles("mistral", func(c *config) Spec {
		s := llamaSpec(c)
		if w := c.int(0, "sliding_window"); w > 0 {
			s.Window = c.windows(s.Layers, w, func(int) bool { return true })
		}
		return s
	})
}
