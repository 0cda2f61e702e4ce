package model

import (
	"fmt"
	"math"
)

// gpt2Family reads GPT-2: pre-LayerNorm, learned positions, Conv1D weights stored [in, out], one fused q/k/v matrix.
func gpt2Family() family {
	return family{
		types:    []string{"gpt2"},
		prefixes: []string{"transformer."},
		ignore:   []string{"h.*.attn.bias", "h.*.attn.masked_bias", "lm_head.weight"},
		spec: func(c *config) Spec {
			d, heads := c.size("n_embd", "hidden_size"), c.size("n_head", "num_attention_heads")
			s := Spec{
				Decoder: true, Causal: true, Layers: c.layers("n_layer", "num_hidden_layers"), DModel: d,
				Heads: heads, KVHeads: heads, DHead: c.headWidth(d, heads), DMLP: c.int(4*d, "n_inner"), Vocab: c.size("vocab_size"),
				Norm: LayerNorm, NormEps: c.float(1e-5, "layer_norm_epsilon"), Place: PreNorm, FinalNorm: true,
				Positions: PosLearned, PosRows: c.size("n_positions", "n_ctx", "max_position_embeddings"),
				AttnScale: 1 / math.Sqrt(float64(d/heads)), InverseLayer: c.bool(false, "scale_attn_by_inverse_layer_idx"),
				QKVBias: true, OBias: true, MLPBias: true, Act: c.act("gelu_new", "activation_function"),
				Tied: c.bool(true, "tie_word_embeddings"), PadID: c.tokenID(0, "pad_token_id", "eos_token_id"),
			}
			if !c.bool(true, "scale_attn_weights") {
				s.AttnScale = 1
			}
			s.MaxPos = s.PosRows
			if c.bool(false, "add_cross_attention") {
				c.unsupported("add_cross_attention: cross-attention is not supported")
			}
			return s
		},
		sources: func(s *Spec) map[string]source {
			out := map[string]source{"W_E": as("wte.weight"), "W_pos": as("wpe.weight"), "ln_final.w": as("ln_f.weight"), "ln_final.b": as("ln_f.bias")}
			if !s.Tied {
				out["W_U"] = as("lm_head.weight")
			}
			perLayer(out, s.Layers, "h.{i}.", map[string]string{
				"ln1.w": "ln_1.weight", "ln1.b": "ln_1.bias", "ln2.w": "ln_2.weight", "ln2.b": "ln_2.bias",
				"b_O": "attn.c_proj.bias", "b_in": "mlp.c_fc.bias", "b_out": "mlp.c_proj.bias",
			})
			for i := range s.Layers {
				block, h := fmt.Sprintf("blocks.%d.", i), fmt.Sprintf("h.%d.", i)
				for j, name := range []string{"Q", "K", "V"} {
					part := rows(j*s.DModel, (j+1)*s.DModel)
					out[block+"W_"+name] = source{[]string{h + "attn.c_attn.weight"}, then(transpose, part)}
					out[block+"b_"+name] = source{[]string{h + "attn.c_attn.bias"}, part}
				}
				for name, theirs := range map[string]string{"W_O": "attn.c_proj", "W_in": "mlp.c_fc", "W_out": "mlp.c_proj"} {
					out[block+name] = source{[]string{h + theirs + ".weight"}, transpose}
				}
			}
			return out
		},
	}
}
