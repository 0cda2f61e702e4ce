package model

// qwenWindows applies Qwen's rule: with use_sliding_window, layers from max_window_layers on slide.
func qwenWindows(c *config, s *Spec) {
	if w := int(c.orNone(4096, "sliding_window")); w != 0 && c.bool(false, "use_sliding_window") {
		from := c.int(28, "max_window_layers")
		s.Window = c.windows(s.Layers, w, func(i int) bool { return i >= from })
	}
}

// qwen2Family reads Qwen2 and Qwen2.5: Llama with biases on q, k and v.
func qwen2Family() family {
	return llamaFiles("qwen2", func(c *config) Spec {
		s := llamaSpec(c, llamaDefaults{eps: 1e-6})
		s.QKVBias = true
		qwenWindows(c, &s)
		return s
	})
}

// qwen3Family reads Qwen3: q and k are normalised per head before the rotation.
func qwen3Family() family {
	return llamaFiles("qwen3", func(c *config) Spec {
		s := llamaSpec(c, llamaDefaults{eps: 1e-6, head: 128})
		s.QKNorm = QKNormHead
		s.QKVBias = c.bool(false, "attention_bias")
		s.OBias = s.QKVBias
		qwenWindows(c, &s)
		return s
	})
}
