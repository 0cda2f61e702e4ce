package model

import (
	"fmt"
	"math"
)

// neoxFamily reads GPT-NeoX and Pythia: LayerNorm, partial rotary, parallel or sequential residual, q/k/v interleaved
// per head as [h, 3, e].
func neoxFamily() family {
	return family{
		types:    []string{"gpt_neox"},
		prefixes: []string{"gpt_neox."},
		ignore:   []string{"layers.*.attention.bias", "layers.*.attention.masked_bias", "layers.*.attention.rotary_emb.inv_freq"},
		spec: func(c *config) Spec {
			d, heads := c.size("hidden_size"), c.size("num_attention_heads")
			s := Spec{
				Decoder: true, Causal: true, Layers: c.layers("num_hidden_layers"), DModel: d,
				Heads: heads, KVHeads: heads, DHead: c.headWidth(d, heads), DMLP: c.size("intermediate_size"), Vocab: c.size("vocab_size"),
				MaxPos: c.int(0, "max_position_embeddings"),
				Norm:   LayerNorm, NormEps: c.float(1e-5, "layer_norm_eps"), Place: PreNorm, FinalNorm: true,
				Parallel: c.bool(true, "use_parallel_residual"), AttnScale: 1 / math.Sqrt(float64(d/heads)),
				QKVBias: c.bool(true, "attention_bias"), OBias: c.bool(true, "attention_bias"), MLPBias: true,
				Act: c.act("gelu", "hidden_act"), Tied: c.bool(false, "tie_word_embeddings"), PadID: c.tokenID(0, "pad_token_id", "eos_token_id"),
			}
			s.uniformRope(c.singleRope(ropeDefaults{theta: 10000, partial: 0.25}, s.DHead))
			return s
		},
		sources: func(s *Spec) map[string]source {
			out := map[string]source{
				"W_E": as("embed_in.weight"), "ln_final.w": as("final_layer_norm.weight"), "ln_final.b": as("final_layer_norm.bias"),
			}
			if !s.Tied {
				out["W_U"] = as("embed_out.weight", "lm_head.weight")
			}
			perLayer(out, s.Layers, "layers.{i}.", map[string]string{
				"ln1.w": "input_layernorm.weight", "ln1.b": "input_layernorm.bias",
				"ln2.w": "post_attention_layernorm.weight", "ln2.b": "post_attention_layernorm.bias",
				"W_O": "attention.dense.weight", "b_O": "attention.dense.bias",
				"W_in": "mlp.dense_h_to_4h.weight", "b_in": "mlp.dense_h_to_4h.bias",
				"W_out": "mlp.dense_4h_to_h.weight", "b_out": "mlp.dense_4h_to_h.bias",
			})
			for i := range s.Layers {
				for j, name := range []string{"Q", "K", "V"} {
					part, from := headThird(j, s.Heads, s.DHead), fmt.Sprintf("layers.%d.attention.query_key_value.", i)
					out[fmt.Sprintf("blocks.%d.W_%s", i, name)] = source{[]string{from + "weight"}, part}
					out[fmt.Sprintf("blocks.%d.b_%s", i, name)] = source{[]string{from + "bias"}, part}
				}
			}
			return out
		},
	}
}
