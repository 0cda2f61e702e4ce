package model

import "math"

// gemmaSpec reads what Gemma-2 and Gemma-3 share: RMSNorm with weights around zero, embeddings scaled by sqrt(d),
// norms before and after each sub-layer, an attention scale of its own, tied embeddings.
func gemmaSpec(c *config) Spec {
	s := llamaSpec(c, llamaDefaults{eps: 1e-6, head: 256})
	s.Norm, s.Place = RMSNormOne, SandwichNorm
	s.Act = c.act("gelu_pytorch_tanh", "hidden_activation")
	s.EmbedScale = math.Sqrt(float64(s.DModel))
	s.AttnScale = 1 / math.Sqrt(c.float(256, "query_pre_attn_scalar"))
	s.Tied = c.bool(true, "tie_word_embeddings")
	s.QKVBias = c.bool(false, "attention_bias")
	s.OBias = s.QKVBias
	if c.bool(false, "use_bidirectional_attention") {
		c.unsupported("use_bidirectional_attention is not supported")
	}
	return s
}

// gemma2Family reads Gemma-2: soft caps on scores and logits; even layers slide unless layer_types says otherwise.
func gemma2Family() family {
	return llamaFiles("gemma2", func(c *config) Spec {
		s := gemmaSpec(c)
		s.AttnSoftcap = c.orNone(50, "attn_logit_softcapping")
		s.LogitSoftcap = c.orNone(30, "final_logit_softcapping")
		s.Window = c.windows(s.Layers, int(c.orNone(4096, "sliding_window")), func(i int) bool { return i%2 == 0 })
		return s
	})
}

// gemma3Family reads Gemma-3 text models: q and k normalised per head; sliding layers rotate with the local base, full
// layers with the global base and its scaling; every sliding_window_pattern-th layer is full. The published code caps
// the logits but, whatever attn_logit_softcapping says, not the scores.
func gemma3Family() family {
	return llamaFiles("gemma3_text", func(c *config) Spec {
		global, local := c.gemma3Ropes()
		s := gemmaSpec(c)
		s.QKNorm = QKNormHead
		s.LogitSoftcap = c.orNone(0, "final_logit_softcapping")
		pattern := max(c.int(6, "sliding_window_pattern", "_sliding_window_pattern"), 1)
		s.Window = c.windows(s.Layers, int(c.orNone(4096, "sliding_window")), func(i int) bool { return (i+1)%pattern != 0 })
		s.Ropes = []Rope{
			c.rope(global, ropeDefaults{c.float(1e6, "rope_theta"), 1}, s.DHead),
			c.rope(local, ropeDefaults{c.float(10000, "rope_local_base_freq"), 1}, s.DHead),
		}
		for i, w := range s.Window {
			if w > 0 {
				s.RopeOf[i] = 1
			}
		}
		return s
	})
}

// gemma3Ropes takes the two sets of rotary settings out of the configuration: rope_parameters by kind of layer (new),
// or rope_scaling, which is for the full layers alone (old).
func (c *config) gemma3Ropes() (global, local *config) {
	if params, ok := c.object("rope_parameters"); ok {
		local, _ = params.object("sliding_attention")
		global, _ = params.object("full_attention")
	} else {
		global, _ = c.object("rope_scaling")
	}
	delete(c.values, "rope_parameters")
	delete(c.values, "rope_scaling")
	return global, local
}
