package model

import "strings"

// t5Family reads the encoder of T5: RMSNorm, unscaled attention, one relative bias for all layers, no positions.
func t5Family() family {
	return family{
		types:    []string{"t5"},
		prefixes: nil,
		ignore:   []string{"decoder.*", "lm_head.weight", "encoder.embed_tokens.weight"},
		spec: func(c *config) Spec {
			heads := c.size("num_heads")
			s := Spec{
				Layers: c.layers("num_layers"), DModel: c.size("d_model"), Heads: heads, KVHeads: heads, DHead: c.size("d_kv"),
				DMLP: c.size("d_ff"), Vocab: c.size("vocab_size"),
				Norm: RMSNorm, NormEps: c.float(1e-6, "layer_norm_epsilon"), Place: PreNorm, FinalNorm: true,
				Positions: PosNone, AttnScale: 1, PadID: c.tokenID(0, "pad_token_id"),
			}
			buckets := c.int(32, "relative_attention_num_buckets")
			s.RelBias = &RelBias{Buckets: buckets, Rows: buckets, MaxDistance: c.int(128, "relative_attention_max_distance")}
			act, gated := strings.CutPrefix(c.string("relu", "feed_forward_proj"), "gated-")
			s.Gated = gated
			if gated && act == "gelu" {
				act = "gelu_new" // what T5 v1.1 calls gated-gelu
			}
			s.Act = c.actNamed("feed_forward_proj", act)
			return s
		},
		sources: func(s *Spec) map[string]source {
			out := map[string]source{
				"W_E":   as("shared.weight", "encoder.embed_tokens.weight"),
				"W_rel": as("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"), "ln_final.w": as("encoder.final_layer_norm.weight"),
			}
			names := map[string]string{
				"ln1.w": "layer.0.layer_norm.weight", "ln2.w": "layer.1.layer_norm.weight",
				"W_in": "layer.1.DenseReluDense.wi.weight", "W_out": "layer.1.DenseReluDense.wo.weight",
			}
			if s.Gated {
				names["W_gate"], names["W_in"] = "layer.1.DenseReluDense.wi_0.weight", "layer.1.DenseReluDense.wi_1.weight"
			}
			for canonical, part := range map[string]string{"Q": "q", "K": "k", "V": "v", "O": "o"} {
				names["W_"+canonical] = "layer.0.SelfAttention." + part + ".weight"
			}
			perLayer(out, s.Layers, "encoder.block.{i}.", names)
			return out
		},
	}
}
