package model

import "math"

// bertSpec reads what BERT-like encoders share: norms after each residual sum, biases everywhere, learned positions.
func bertSpec(c *config) Spec {
	d, heads := c.size("hidden_size", "dim"), c.size("num_attention_heads", "n_heads")
	s := Spec{
		Layers: c.layers("num_hidden_layers", "n_layers"), DModel: d, Heads: heads, KVHeads: heads, DHead: c.headWidth(d, heads),
		DMLP: c.size("intermediate_size", "hidden_dim"), Vocab: c.size("vocab_size"),
		Norm: LayerNorm, NormEps: c.float(1e-12, "layer_norm_eps"), Place: PostNorm,
		Positions: PosLearned, PosRows: c.size("max_position_embeddings"), AttnScale: 1 / math.Sqrt(float64(d/heads)),
		QKVBias: true, OBias: true, MLPBias: true, Act: c.act("gelu", "hidden_act", "activation"), EmbedNorm: true,
		TypeVocab: c.int(0, "type_vocab_size"), PadID: c.tokenID(0, "pad_token_id"),
	}
	s.MaxPos = s.PosRows
	if kind := c.string("absolute", "position_embedding_type"); kind != "absolute" {
		c.unsupported("position_embedding_type %q is not supported (absolute is)", kind)
	}
	if c.bool(false, "is_decoder") || c.bool(false, "add_cross_attention") {
		c.unsupported("is_decoder and add_cross_attention are not supported for encoders")
	}
	return s
}

// bertIgnore names heads and buffers that the encoder does not use.
func bertIgnore() []string {
	return []string{"embeddings.position_ids", "embeddings.token_type_ids", "cls.*", "lm_head.*", "classifier.*", "pre_classifier.*", "qa_outputs.*", "vocab_*"}
}

// fitPooler drops the pooler of a checkpoint without one: those of masked language models have none.
func fitPooler(_ *config, s *Spec, has func(string) bool) {
	if !has("pooler.dense.weight") {
		s.Pooler = PoolerNone
	}
}

// bertNames maps the parameters of one BERT layer.
func bertNames() map[string]string {
	return map[string]string{
		"W_Q": "attention.self.query.weight", "b_Q": "attention.self.query.bias",
		"W_K": "attention.self.key.weight", "b_K": "attention.self.key.bias",
		"W_V": "attention.self.value.weight", "b_V": "attention.self.value.bias",
		"W_O": "attention.output.dense.weight", "b_O": "attention.output.dense.bias",
		"ln1.w": "attention.output.LayerNorm.weight", "ln1.b": "attention.output.LayerNorm.bias",
		"W_in": "intermediate.dense.weight", "b_in": "intermediate.dense.bias",
		"W_out": "output.dense.weight", "b_out": "output.dense.bias",
		"ln2.w": "output.LayerNorm.weight", "ln2.b": "output.LayerNorm.bias",
	}
}

// bertEmbeddings maps the parameters outside the layers.
func bertEmbeddings(s *Spec) map[string]source {
	out := map[string]source{
		"W_E": as("embeddings.word_embeddings.weight"), "W_pos": as("embeddings.position_embeddings.weight"),
		"ln_embed.w": as("embeddings.LayerNorm.weight"), "ln_embed.b": as("embeddings.LayerNorm.bias"),
	}
	if s.TypeVocab > 0 {
		out["W_type"] = as("embeddings.token_type_embeddings.weight")
	}
	if s.Pooler == PoolerFirst {
		out["W_pool"], out["b_pool"] = as("pooler.dense.weight"), as("pooler.dense.bias")
	}
	return out
}

// bertFamily reads BERT, and with it MiniLM, BGE and E5.
func bertFamily() family {
	return family{
		types: []string{"bert"}, prefixes: []string{"bert."}, ignore: bertIgnore(), fit: fitPooler,
		spec: func(c *config) Spec {
			s := bertSpec(c)
			s.Pooler = PoolerFirst
			return s
		},
		sources: func(s *Spec) map[string]source {
			out := bertEmbeddings(s)
			perLayer(out, s.Layers, "encoder.layer.{i}.", bertNames())
			return out
		},
	}
}

// robertaFamily reads RoBERTa and XLM-RoBERTa: BERT whose positions are counted from the ids, plus the pad id.
func robertaFamily() family {
	f := bertFamily()
	f.types, f.prefixes = []string{"roberta", "xlm-roberta"}, []string{"roberta."}
	f.spec = func(c *config) Spec {
		s := bertSpec(c)
		s.Pooler = PoolerFirst
		s.PadID = c.tokenID(1, "pad_token_id")
		s.PosFromID, s.PosOffset = true, s.PadID
		s.MaxPos = s.PosRows - s.PadID - 1
		return s
	}
	return f
}
