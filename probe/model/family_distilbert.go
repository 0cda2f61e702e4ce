package model

// distilbertFamily reads DistilBERT: BERT without token types and pooler, its norms' epsilon fixed at 1e-12.
func distilbertFamily() family {
	return family{
		types: []string{"distilbert"}, prefixes: []string{"distilbert."}, ignore: bertIgnore(),
		spec: func(c *config) Spec {
			s := bertSpec(c)
			s.NormEps, s.TypeVocab = 1e-12, 0
			return s
		},
		sources: func(s *Spec) map[string]source {
			out := bertEmbeddings(s)
			perLayer(out, s.Layers, "transformer.layer.{i}.", map[string]string{
				"W_Q": "attention.q_lin.weight", "b_Q": "attention.q_lin.bias", "W_K": "attention.k_lin.weight", "b_K": "attention.k_lin.bias",
				"W_V": "attention.v_lin.weight", "b_V": "attention.v_lin.bias", "W_O": "attention.out_lin.weight", "b_O": "attention.out_lin.bias",
				"ln1.w": "sa_layer_norm.weight", "ln1.b": "sa_layer_norm.bias", "ln2.w": "output_layer_norm.weight", "ln2.b": "output_layer_norm.bias",
				"W_in": "ffn.lin1.weight", "b_in": "ffn.lin1.bias", "W_out": "ffn.lin2.weight", "b_out": "ffn.lin2.bias",
			})
			return out
		},
	}
}
