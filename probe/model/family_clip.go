package model

import "math"

// clipFamily reads CLIP's text encoder: causal, pre-norm, pooled at the end-of-text token, with an optional projection.
func clipFamily() family {
	return family{
		types:    []string{"clip_text_model", "clip"},
		prefixes: []string{"text_model."},
		ignore:   []string{"embeddings.position_ids", "vision_model.*", "visual_projection.*", "logit_scale"},
		spec: func(c *config) Spec {
			if c.string("", "model_type") == "clip" { // a whole CLIP model: the text side has an object of its own
				if text, ok := c.object("text_config"); ok {
					for _, key := range []string{"model_type", "architectures", "projection_dim"} {
						text.values[key] = c.values[key]
					}
					c.path, c.values = text.path, text.values
				}
			}
			d, heads := c.size("hidden_size"), c.size("num_attention_heads")
			s := Spec{
				Causal: true, Layers: c.layers("num_hidden_layers"), DModel: d, Heads: heads, KVHeads: heads, DHead: c.headWidth(d, heads),
				DMLP: c.size("intermediate_size"), Vocab: c.size("vocab_size"),
				Norm: LayerNorm, NormEps: c.float(1e-5, "layer_norm_eps"), Place: PreNorm, FinalNorm: true,
				Positions: PosLearned, PosRows: c.size("max_position_embeddings"), AttnScale: 1 / math.Sqrt(float64(d/heads)),
				QKVBias: true, OBias: true, MLPBias: true, Act: c.act("quick_gelu", "hidden_act"),
				Pooler: PoolerEOS, EOS: c.tokenID(49407, "eos_token_id"), PadID: c.tokenID(1, "pad_token_id"),
			}
			s.MaxPos = s.PosRows
			s.PoolLargestID = s.EOS == 2 // configurations written before transformers 4.30 all say 2
			s.Projection = c.int(512, "projection_dim")
			return s
		},
		fit: func(c *config, s *Spec, has func(string) bool) {
			if !withProjection(c.strings("architectures")) && !has("text_projection.weight") {
				s.Projection = 0
			}
		},
		sources: func(s *Spec) map[string]source {
			out := map[string]source{
				"W_E": as("embeddings.token_embedding.weight"), "W_pos": as("embeddings.position_embedding.weight"),
				"ln_final.w": as("final_layer_norm.weight"), "ln_final.b": as("final_layer_norm.bias"),
			}
			if s.Projection > 0 {
				out["W_proj"] = as("text_projection.weight")
			}
			names := map[string]string{
				"ln1.w": "layer_norm1.weight", "ln1.b": "layer_norm1.bias", "ln2.w": "layer_norm2.weight", "ln2.b": "layer_norm2.bias",
				"W_in": "mlp.fc1.weight", "b_in": "mlp.fc1.bias", "W_out": "mlp.fc2.weight", "b_out": "mlp.fc2.bias",
			}
			for canonical, part := range map[string]string{"Q": "q_proj", "K": "k_proj", "V": "v_proj", "O": "out_proj"} {
				names["W_"+canonical], names["b_"+canonical] = "self_attn."+part+".weight", "self_attn."+part+".bias"
			}
			perLayer(out, s.Layers, "encoder.layers.{i}.", names)
			return out
		},
	}
}

// withProjection tells whether the checkpoint's class has the text projection.
func withProjection(architectures []string) bool {
	for _, a := range architectures {
		if a == "CLIPTextModelWithProjection" || a == "CLIPModel" {
			return true
		}
	}
	return false
}
