package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"loupe/internal/safetensors"
)

// PublishNew returns config.json and the tensors of a model that was made from a Spec rather than loaded. GPT-2's and
// BERT's forms are written; a Spec that config.json cannot say is an error.
func PublishNew(s *Spec, p *Params) (map[string]any, *Published, error) {
	if p.spec.Digest() != s.Digest() {
		return nil, nil, fmt.Errorf("model: weights of a %s model for another Spec", p.spec.Family)
	}
	var conf map[string]any
	var fam family
	switch s.Family {
	case "gpt2":
		fam = gpt2Family()
		conf = map[string]any{
			"model_type": "gpt2", "architectures": []string{"GPT2LMHeadModel"}, "n_embd": s.DModel, "n_layer": s.Layers, "n_head": s.Heads,
			"n_inner": s.DMLP, "n_positions": s.PosRows, "vocab_size": s.Vocab, "layer_norm_epsilon": s.NormEps, "activation_function": "gelu_new",
			"tie_word_embeddings": s.Tied, "pad_token_id": s.PadID, "bos_token_id": s.PadID, "eos_token_id": s.PadID,
		}
	case "bert":
		fam = bertFamily()
		conf = map[string]any{
			"model_type": "bert", "architectures": []string{"BertModel"}, "hidden_size": s.DModel, "num_hidden_layers": s.Layers,
			"num_attention_heads": s.Heads, "intermediate_size": s.DMLP, "max_position_embeddings": s.PosRows, "vocab_size": s.Vocab,
			"layer_norm_eps": s.NormEps, "hidden_act": "gelu", "type_vocab_size": s.TypeVocab, "pad_token_id": s.PadID,
		}
	default:
		return nil, nil, fmt.Errorf("model: a new %s model cannot be written as a folder (gpt2 and bert can)", s.Family)
	}
	sources, stored := fam.sources(s), map[string]matrix{}
	var order []string
	for _, param := range s.Params() {
		src := sources[param.Name]
		name := src.names[0]
		dst, ok := stored[name]
		if !ok {
			dims := storedDims(s, name, param.Dims)
			dst = matrix{make([]float32, product(dims)), dims}
			stored[name], order = dst, append(order, name)
		}
		values, err := p.Values(param.Name)
		if err == nil {
			err = src.place(dst, values)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("model: parameter %s: %w", param.Name, err)
		}
	}
	out := &Published{Metadata: map[string]string{"format": "pt"}}
	for _, name := range order {
		out.Tensors = append(out.Tensors, safetensors.F32(name, stored[name].dims, stored[name].data))
	}
	return conf, out, configSays(conf, s, stored, fam)
}

// storedDims is the shape of a stored tensor that holds a parameter of these dimensions: GPT-2 keeps its matrices [in, out] and
// q, k and v in one.
func storedDims(s *Spec, name string, dims []int) []int {
	switch {
	case strings.HasSuffix(name, "attn.c_attn.weight"):
		return []int{s.DModel, 3 * s.DModel}
	case strings.HasSuffix(name, "attn.c_attn.bias"):
		return []int{3 * s.DModel}
	case strings.HasSuffix(name, "c_proj.weight") || strings.HasSuffix(name, "c_fc.weight"):
		return []int{dims[1], dims[0]}
	}
	return slices.Clone(dims)
}

// configSays checks that a configuration is read as the Spec that it was written for.
func configSays(conf map[string]any, s *Spec, stored map[string]matrix, fam family) error {
	raw, err := json.Marshal(conf)
	if err != nil {
		return err
	}
	c, err := parseConfig("config.json", raw)
	if err != nil {
		return err
	}
	read, _, err := parseSpec(c)
	if err != nil {
		return err
	}
	if fam.fit != nil {
		fam.fit(c, read, func(name string) bool { _, ok := stored[name]; return ok })
	}
	if read.Digest() != s.Digest() {
		return fmt.Errorf("model: config.json of %s cannot say all of this Spec: it is read as %+v, not %+v", s.Family, *read, *s)
	}
	return nil
}
