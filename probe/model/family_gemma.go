package model

import "math"

// gemmaSpec reads what Gemma-2 and Gemma-3 share: RMSNorm with weights around zero, embeddings scaled by sqrt(d),
// norms before and after each sub-layer, an attention scale of its own, tied embeddings.
func gemmaSpec(c *config, scalar float64) Spec {
	s := llamaSpec(c)
	s.Norm, s.Place = RMSNormOne, SandwichNorm
	s.Act = c.act("gelu_pytorch_tanh", "hidden_activation", "hidden_act")
	s.DHead = c.int(256, "head_dim")
	s.EmbedScale = math.Sqrt(float64(s.DModel))
	s.AttnScale = 1 / math.Sqrt(c.float(scalar, "query_pre_attn_scalar"))
	s.AttnSoftcap = c.float(0, "attn_logit_softcapping")
	s.LogitSoftcap = c.float(0, "final_logit_softcapping")
	s.Tied = c.bool(true, "tie_word_embeddings")
	s.QKVBias = c.bool(false, "attention_bias")
	s.OBias = s.QKVBias
	if c.bool(false, "use_bidirectional_attention") {
		c.fail("use_bidirectional_attention is not supported")
	}
	return s
}

// gemma2Family reads Gemma-2: soft caps on scores and logits; even layers slide unless layer_types says otherwise.
func gemma2Family() family {
	return llamaFiles("gemma2", func(c *config) Spec {
		s := gemmaSpec(c, 256)
		s.uniformRope(c.singleRope(10000, s.DHead))
		s.Window = c.windows(s.Layers, c.int(4096, "sliding_window"), func(i int) bool { return i%2 == 0 })
		return s
	})
}

// gemma3Family reads Gemma-3 text models: q and k normalised per head; sliding layers rotate with the local base, full
// layers with the global base and its scaling; every sliding_window_pattern-th layer is full.
func gemma3Family() family {
	return llamaFiles("gemma3_text", func(c *config) Spec {
		params, split := c.object("rope_parameters")
		delete(c.values, "rope_parameters") // two sets, read below
		s := gemmaSpec(c, 256)
		s.QKNorm = QKNormHead
		pattern := max(c.int(6, "sliding_window_pattern", "_sliding_window_pattern"), 1)
		s.Window = c.windows(s.Layers, c.int(4096, "sliding_window"), func(i int) bool { return (i+1)%pattern != 0 })
		var local, global *config
		if split {
			local, _ = params.object("sliding_attention")
			global, _ = params.object("full_attention")
		} else {
			global, _ = c.object("rope_scaling")
		}
		s.Positions = PosRotary
		s.Ropes = []Rope{
			c.rope(global, c.float(1e6, "rope_theta"), s.DHead),
			c.rope(local, c.float(10000, "rope_local_base_freq"), s.DHead),
		}
		s.RopeOf = make([]int, s.Layers)
		for i, w := range s.Window {
			if w > 0 {
				s.RopeOf[i] = 1
			}
		}
		return s
	})
}
