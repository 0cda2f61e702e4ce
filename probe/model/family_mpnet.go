package model

// mpnetFamily reads MPNet: RoBERTa's positions and a T5-like relative bias (distance 128) beside the usual scale.
func mpnetFamily() family {
	return family{
		types: []string{"mpnet"}, prefixes: []string{"mpnet."}, ignore: bertIgnore(), fit: fitPooler,
		spec: func(c *config) Spec {
			s := bertSpec(c)
			s.Pooler, s.TypeVocab = PoolerFirst, 0
			// the published code counts positions by pad id 1 and uses 32 buckets whatever the configuration says
			s.PadID, s.PosFromID, s.PosOffset = 1, true, 1
			s.MaxPos = s.PosRows - 2
			s.RelBias = &RelBias{Buckets: 32, Rows: c.int(32, "relative_attention_num_buckets"), MaxDistance: 128}
			return s
		},
		sources: func(s *Spec) map[string]source {
			out := bertEmbeddings(s)
			out["W_rel"] = as("encoder.relative_attention_bias.weight")
			names := bertNames()
			for canonical, part := range map[string]string{"Q": "q", "K": "k", "V": "v", "O": "o"} {
				names["W_"+canonical], names["b_"+canonical] = "attention.attn."+part+".weight", "attention.attn."+part+".bias"
			}
			names["ln1.w"], names["ln1.b"] = "attention.LayerNorm.weight", "attention.LayerNorm.bias"
			perLayer(out, s.Layers, "encoder.layer.{i}.", names)
			return out
		},
	}
}
