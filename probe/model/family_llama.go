package model

import "math"

// llamaDefaults are what a Llama-like family assumes where config.json is silent.
type llamaDefaults struct {
	eps  float64
	head int // head width; 0: the hidden size over the heads
}

// llamaSpec reads the keys that Llama-like decoders share: RMSNorm, rotary positions, grouped queries, gated MLP.
func llamaSpec(c *config, def llamaDefaults) Spec {
	d, heads := c.size("hidden_size"), c.size("num_attention_heads")
	head := c.int(def.head, "head_dim")
	if head == 0 {
		head = c.headWidth(d, heads)
	}
	s := Spec{
		Decoder: true, Causal: true, Layers: c.layers("num_hidden_layers"), DModel: d,
		Heads: heads, KVHeads: c.int(heads, "num_key_value_heads"), DHead: head, DMLP: c.size("intermediate_size"), Vocab: c.size("vocab_size"),
		MaxPos: c.int(0, "max_position_embeddings"),
		Norm:   RMSNorm, NormEps: c.float(def.eps, "rms_norm_eps"), Place: PreNorm, FinalNorm: true,
		AttnScale: 1 / math.Sqrt(float64(max(head, 1))), Act: c.act("silu", "hidden_act", "hidden_activation"), Gated: true,
		Tied: c.bool(false, "tie_word_embeddings"), PadID: c.tokenID(0, "pad_token_id"),
	}
	if s.KVHeads < 1 {
		c.fail("num_key_value_heads is %d", s.KVHeads)
		s.KVHeads = 1
	}
	s.uniformRope(c.singleRope(ropeDefaults{theta: 10000, partial: 1}, head))
	return s
}

// llamaSources names the parameters of Llama-like decoders.
func llamaSources(s *Spec) map[string]source {
	out := map[string]source{"W_E": as("embed_tokens.weight"), "ln_final.w": as("norm.weight")}
	if !s.Tied {
		out["W_U"] = as("lm_head.weight")
	}
	names := map[string]string{
		"W_Q": "self_attn.q_proj.weight", "W_K": "self_attn.k_proj.weight", "W_V": "self_attn.v_proj.weight", "W_O": "self_attn.o_proj.weight",
		"W_gate": "mlp.gate_proj.weight", "W_in": "mlp.up_proj.weight", "W_out": "mlp.down_proj.weight",
	}
	switch s.Place {
	case PreNorm:
		names["ln1.w"], names["ln2.w"] = "input_layernorm.weight", "post_attention_layernorm.weight"
	case SandwichNorm:
		names["ln1.w"], names["ln1_post.w"] = "input_layernorm.weight", "post_attention_layernorm.weight"
		names["ln2.w"], names["ln2_post.w"] = "pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight"
	case OutputNorm:
		names["ln1_post.w"], names["ln2_post.w"] = "post_attention_layernorm.weight", "post_feedforward_layernorm.weight"
	}
	if s.QKVBias {
		names["b_Q"], names["b_K"], names["b_V"] = "self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"
	}
	if s.OBias {
		names["b_O"] = "self_attn.o_proj.bias"
	}
	if s.MLPBias {
		names["b_gate"], names["b_in"], names["b_out"] = "mlp.gate_proj.bias", "mlp.up_proj.bias", "mlp.down_proj.bias"
	}
	if s.QKNorm != QKNormNone {
		names["q_norm.w"], names["k_norm.w"] = "self_attn.q_norm.weight", "self_attn.k_norm.weight"
	}
	perLayer(out, s.Layers, "layers.{i}.", names)
	return out
}

// llamaFiles completes a Llama-like family.
func llamaFiles(name string, spec func(c *config) Spec) family {
	return family{
		types: []string{name}, prefixes: []string{"model."}, ignore: []string{"layers.*.self_attn.rotary_emb.inv_freq", "lm_head.weight"},
		spec: spec, sources: llamaSources,
	}
}

// llamaFamily reads Llama 1 to 3 and SmolLM2.
func llamaFamily() family {
	return llamaFiles("llama", func(c *config) Spec {
		s := llamaSpec(c, llamaDefaults{eps: 1e-6})
		s.QKVBias = c.bool(false, "attention_bias")
		s.OBias = s.QKVBias
		s.MLPBias = c.bool(false, "mlp_bias")
		return s
	})
}
