package model

import "fmt"

// phi3Family reads Phi-3: Llama with fused q/k/v and gate/up matrices and an optional sliding window.
func phi3Family() family {
	f := llamaFiles("phi3", func(c *config) Spec {
		s := llamaSpec(c, llamaDefaults{eps: 1e-5})
		s.Window = c.uniformWindow(s.Layers, 0)
		return s
	})
	f.sources = func(s *Spec) map[string]source {
		out := llamaSources(s)
		q, kv := s.Heads*s.DHead, s.KVHeads*s.DHead
		for i := range s.Layers {
			block, layer := fmt.Sprintf("blocks.%d.", i), fmt.Sprintf("layers.%d.", i)
			qkv, mlp := []string{layer + "self_attn.qkv_proj.weight"}, []string{layer + "mlp.gate_up_proj.weight"}
			out[block+"W_Q"] = source{qkv, rows(0, q)}
			out[block+"W_K"] = source{qkv, rows(q, q+kv)}
			out[block+"W_V"] = source{qkv, rows(q+kv, q+2*kv)}
			out[block+"W_gate"] = source{mlp, rows(0, s.DMLP)}
			out[block+"W_in"] = source{mlp, rows(s.DMLP, 2*s.DMLP)}
		}
		return out
	}
	return f
}
