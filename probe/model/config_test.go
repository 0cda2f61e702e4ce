package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// parse reads the Spec of a config.json.
func parse(text string) (*Spec, error) {
	c, err := parseConfig("config.json", []byte(text))
	if err != nil {
		return nil, err
	}
	s, _, err := parseSpec(c)
	return s, err
}

// Small configurations of three kinds of models; the tests change single keys of them.
const (
	llamaConfig = `{"model_type":"llama","hidden_size":32,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
		"intermediate_size":48,"vocab_size":97,"max_position_embeddings":64,"rms_norm_eps":1e-5}`
	bertConfig = `{"model_type":"bert","hidden_size":32,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":48,
		"vocab_size":97,"max_position_embeddings":64,"type_vocab_size":2}`
	t5Config = `{"model_type":"t5","d_model":32,"num_layers":2,"num_heads":4,"d_kv":8,"d_ff":48,"vocab_size":97}`
)

// with returns a configuration with keys replaced; a null value stays, the text "absent" removes the key.
func with(t testing.TB, config string, changes map[string]any) string {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal([]byte(config), &values); err != nil {
		t.Fatal(err)
	}
	for k, v := range changes {
		if v == "absent" {
			delete(values, k)
			continue
		}
		values[k] = v
	}
	b, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestConfigErrors(t *testing.T) {
	set := func(key string, value any) map[string]any { return map[string]any{key: value} }
	for _, test := range []struct {
		name   string
		config string
		change map[string]any
		want   []string
	}{
		{"unknown architecture", llamaConfig, set("model_type", "mamba"), []string{`"mamba"`, "not supported", "gpt2", "t5"}},
		{"no architecture", llamaConfig, set("model_type", "absent"), []string{"model_type", "Hugging Face"}},
		{"architecture of another type", llamaConfig, set("model_type", 3), []string{"model_type", "string"}},
		{"missing key", llamaConfig, set("hidden_size", "absent"), []string{`"hidden_size" is missing`, "fix the file"}},
		{"null where a size is needed", llamaConfig, set("vocab_size", nil), []string{`"vocab_size" is missing`}},
		{"text where a number is needed", llamaConfig, set("num_hidden_layers", "two"), []string{"num_hidden_layers", "number", "two"}},
		{"a fraction of a layer", llamaConfig, set("num_hidden_layers", 2.5), []string{"num_hidden_layers", "whole number", "2.5"}},
		{"number where true or false is needed", llamaConfig, set("attention_bias", 1), []string{"attention_bias", "true or false"}},
		{"number where text is needed", llamaConfig, set("hidden_act", 1), []string{"hidden_act", "string"}},
		{"unknown activation", llamaConfig, set("hidden_act", "mish"), []string{"hidden_act", `"mish"`, "silu"}},
		{"no layers", llamaConfig, set("num_hidden_layers", 0), []string{"num_hidden_layers", "is 0"}},
		{"a million layers", llamaConfig, set("num_hidden_layers", 1000000), []string{"num_hidden_layers", "1000000", "1024"}},
		{"no heads", llamaConfig, set("num_attention_heads", 0), []string{"num_attention_heads", "is 0"}},
		{"heads that do not divide", llamaConfig, set("num_attention_heads", 5), []string{"32", "multiple", "5"}},
		{"heads that cannot share keys", llamaConfig, set("num_key_value_heads", 3), []string{"4 attention heads", "3 key/value heads"}},
		{"no key heads", llamaConfig, set("num_key_value_heads", 0), []string{"num_key_value_heads"}},
		{"negative head width", llamaConfig, set("head_dim", -8), []string{"head width", "-8"}},
		{"odd head width", llamaConfig, set("head_dim", 7), []string{"rotary width", "even"}},
		{"a wide head", llamaConfig, set("head_dim", 1<<20), []string{"head width", "1048576"}},
		{"a vocabulary beyond counting", llamaConfig, set("vocab_size", 1e15), []string{"vocab_size"}},
		{"number that no float holds", llamaConfig, set("rms_norm_eps", json.Number("1e999")), []string{"rms_norm_eps"}},
		{"negative epsilon", llamaConfig, set("rms_norm_eps", -1), []string{"epsilon", "-1"}},
		{"negative rope base", llamaConfig, set("rope_theta", -3), []string{"rope_theta", "-3"}},
		{"unknown rope", llamaConfig, set("rope_scaling", map[string]any{"rope_type": "spiral"}), []string{"rope_scaling", `"spiral"`, "llama3"}},
		{"rope without its factor", llamaConfig, set("rope_parameters", map[string]any{"rope_type": "linear"}), []string{"rope_parameters", "linear", "factor"}},
		{"llama3 rope in disorder", llamaConfig, set("rope_scaling", map[string]any{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}), []string{"low_freq_factor"}},
		{"rope that is no object", llamaConfig, set("rope_parameters", 3), []string{"rope_parameters", "object"}},
		{"half of a rotation", llamaConfig, set("rope_parameters", map[string]any{"partial_rotary_factor": 0.01}), []string{"rotary width"}},
		{"more than a rotation", llamaConfig, set("rope_parameters", map[string]any{"partial_rotary_factor": 3}), []string{"rotary width", "24"}},
		{"negative window", llamaConfig, map[string]any{"model_type": "mistral", "sliding_window": -5}, []string{"sliding window", "-5"}},
		{"layer types of another depth", llamaConfig, map[string]any{"model_type": "gemma2", "layer_types": []string{"full_attention"}}, []string{"layer_types", "1 entries for 2 layers"}},
		{"unknown layer type", llamaConfig, map[string]any{"model_type": "gemma2", "layer_types": []string{"full_attention", "mamba"}}, []string{"layer_types[1]", `"mamba"`}},
		{"layer types that are no texts", llamaConfig, map[string]any{"model_type": "gemma2", "layer_types": []int{1, 2}}, []string{"layer_types", "list of strings"}},
		{"no attention scale", llamaConfig, map[string]any{"model_type": "gemma2", "query_pre_attn_scalar": 0}, []string{"attention scale"}},
		{"negative soft cap", llamaConfig, map[string]any{"model_type": "gemma2", "final_logit_softcapping": -1}, []string{"soft caps", "-1"}},
		{"rope of a kind of layer that is no object", llamaConfig, map[string]any{"model_type": "gemma3_text", "rope_parameters": map[string]any{"sliding_attention": 5}}, []string{"sliding_attention", "object"}},
		{"attention in both directions", llamaConfig, map[string]any{"model_type": "gemma3_text", "use_bidirectional_attention": true}, []string{"use_bidirectional_attention", "not supported"}},
		{"relative positions in BERT", bertConfig, set("position_embedding_type", "relative_key"), []string{"relative_key", "not supported"}},
		{"BERT as a decoder", bertConfig, set("is_decoder", true), []string{"is_decoder"}},
		{"negative token types", bertConfig, set("type_vocab_size", -1), []string{"token types", "-1"}},
		{"pad id beyond the positions", bertConfig, map[string]any{"model_type": "roberta", "pad_token_id": 70}, []string{"table of 64 positions"}},
		{"no relative buckets", t5Config, set("relative_attention_num_buckets", 0), []string{"relative bias", "0 buckets"}},
		{"relative distance within the exact buckets", t5Config, set("relative_attention_max_distance", 3), []string{"relative bias", "distance 3"}},
		{"unknown feed-forward", t5Config, set("feed_forward_proj", "gated-mish"), []string{"feed_forward_proj", `"mish"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := parse(test.config); err != nil {
				t.Fatalf("the unchanged configuration fails: %v", err)
			}
			s, err := parse(with(t, test.config, test.change))
			if err == nil {
				t.Fatalf("accepted: %+v", s)
			}
			for _, want := range append(test.want, "config.json") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
		})
	}
	for name, text := range map[string]string{"cut": llamaConfig[:40], "empty": "", "list": "[1]", "null": "null", "text": `"llama"`} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), "fetch the file again") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConfigDefaults holds what the published code assumes where a key is absent, null or in an older form.
func TestConfigDefaults(t *testing.T) {
	llama := func(changes map[string]any) string { return with(t, llamaConfig, changes) }
	for _, test := range []struct {
		name   string
		config string
		got    func(*Spec) any
		want   any
	}{
		{"mistral slides by default", llama(map[string]any{"model_type": "mistral"}), func(s *Spec) any { return s.Window }, []int{4096, 4096}},
		{"null is no window", llama(map[string]any{"model_type": "mistral", "sliding_window": nil}), func(s *Spec) any { return s.Window }, []int(nil)},
		{"mistral knows no layer types", llama(map[string]any{"model_type": "mistral", "sliding_window": 3, "layer_types": []string{"full_attention", "full_attention"}}), func(s *Spec) any { return s.Window }, []int{3, 3}},
		{"qwen2 slides only when told", llama(map[string]any{"model_type": "qwen2", "sliding_window": 3, "max_window_layers": 0}), func(s *Spec) any { return s.Window }, []int(nil)},
		{"qwen2 slides from a layer on", llama(map[string]any{"model_type": "qwen2", "sliding_window": 3, "max_window_layers": 1, "use_sliding_window": true}), func(s *Spec) any { return s.Window }, []int{0, 3}},
		{"qwen3 heads are 128 wide", llama(map[string]any{"model_type": "qwen3"}), func(s *Spec) any { return s.DHead }, 128},
		{"gemma2 heads are 256 wide", llama(map[string]any{"model_type": "gemma2"}), func(s *Spec) any { return s.DHead }, 256},
		{"gemma2 caps by default", llama(map[string]any{"model_type": "gemma2"}), func(s *Spec) any { return []float64{s.AttnSoftcap, s.LogitSoftcap} }, []float64{50, 30}},
		{"null is no cap", llama(map[string]any{"model_type": "gemma2", "attn_logit_softcapping": nil, "final_logit_softcapping": nil}), func(s *Spec) any { return []float64{s.AttnSoftcap, s.LogitSoftcap} }, []float64{0, 0}},
		{"gemma reads hidden_activation alone", llama(map[string]any{"model_type": "gemma2", "hidden_act": "gelu"}), func(s *Spec) any { return s.Act }, "gelu_tanh"},
		{"gemma3 never caps scores", llama(map[string]any{"model_type": "gemma3_text", "attn_logit_softcapping": 5, "final_logit_softcapping": 7}), func(s *Spec) any { return []float64{s.AttnSoftcap, s.LogitSoftcap} }, []float64{0, 7}},
		{"gemma3 scales full layers alone", llama(map[string]any{"model_type": "gemma3_text", "rope_theta": 5e5, "rope_local_base_freq": 9000, "sliding_window_pattern": 2, "rope_scaling": map[string]any{"type": "linear", "factor": 8}}),
			func(s *Spec) any { return []any{s.Ropes, s.RopeOf} },
			[]any{[]Rope{{Theta: 5e5, Dim: 256, Type: "linear", Factor: 8}, {Theta: 9000, Dim: 256, Type: "default"}}, []int{1, 0}}},
		{"olmo2 epsilon", llama(map[string]any{"model_type": "olmo2", "rms_norm_eps": "absent"}), func(s *Spec) any { return s.NormEps }, 1e-5},
		{"llama epsilon", llama(map[string]any{"rms_norm_eps": "absent"}), func(s *Spec) any { return s.NormEps }, 1e-6},
		{"phi3 partial rotation, old form", llama(map[string]any{"model_type": "phi3", "partial_rotary_factor": 0.5, "rope_scaling": nil}), func(s *Spec) any { return s.Ropes[0].Dim }, 4},
		{"neox rotates a quarter", with(t, bertConfig, map[string]any{"model_type": "gpt_neox", "rope_parameters": map[string]any{"rope_theta": 100}}), func(s *Spec) any { return s.Ropes }, []Rope{{Theta: 100, Dim: 2, Type: "default"}}},
		{"llama3 rope without its own limit", llama(map[string]any{"rope_parameters": map[string]any{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}}), func(s *Spec) any { return s.Ropes[0].OrigMax }, 64.0},
		{"dynamic rope within its positions", llama(map[string]any{"rope_scaling": map[string]any{"type": "dynamic", "factor": 2}}), func(s *Spec) any { return s.Ropes }, []Rope{{Theta: 10000, Dim: 8, Type: "default"}}},
		{"pad id -1 is none", llama(map[string]any{"pad_token_id": -1}), func(s *Spec) any { return s.PadID }, 0},
		{"first of several ids", with(t, bertConfig, map[string]any{"model_type": "gpt_neox", "eos_token_id": []int{3, 4}}), func(s *Spec) any { return s.PadID }, 3},
		{"mpnet positions start at its own pad id", with(t, bertConfig, map[string]any{"model_type": "mpnet", "pad_token_id": 5}), func(s *Spec) any { return []int{s.PadID, s.PosOffset, s.MaxPos} }, []int{1, 1, 62}},
		{"mpnet uses 32 buckets", with(t, bertConfig, map[string]any{"model_type": "mpnet", "relative_attention_num_buckets": 64}), func(s *Spec) any { return *s.RelBias }, RelBias{Buckets: 32, Rows: 64, MaxDistance: 128}},
		{"roberta positions follow the pad id", with(t, bertConfig, map[string]any{"model_type": "xlm-roberta", "pad_token_id": 5}), func(s *Spec) any { return []int{s.PosOffset, s.MaxPos} }, []int{5, 58}},
		{"t5 gated-gelu is the tanh form", with(t, t5Config, map[string]any{"feed_forward_proj": "gated-gelu"}), func(s *Spec) any { return []any{s.Act, s.Gated} }, []any{"gelu_tanh", true}},
		{"t5 gelu is the exact form", with(t, t5Config, map[string]any{"feed_forward_proj": "gelu"}), func(s *Spec) any { return []any{s.Act, s.Gated} }, []any{"gelu", false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(test.config)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.got(s); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestLyingConfigAllocatesLittle gives the largest sizes that are accepted: describing such a model is cheap, and
// opening its small file fails before anything of that size is made.
func TestLyingConfigAllocatesLittle(t *testing.T) {
	f := copyFolder(t, "llama-tied")
	f.set(map[string]any{"num_hidden_layers": maxLayers, "hidden_size": maxWidth, "intermediate_size": maxMLP, "vocab_size": maxRows, "head_dim": maxHead,
		"num_attention_heads": maxHeads, "num_key_value_heads": maxHeads, "max_position_embeddings": 1 << 30})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Inspect(f.dir, Options{})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "tensor model.embed_tokens.weight") || !strings.Contains(err.Error(), "16777216") {
		t.Errorf("error %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
	s, err := parse(with(t, llamaConfig, map[string]any{"num_hidden_layers": maxLayers, "hidden_size": maxWidth, "intermediate_size": maxMLP,
		"vocab_size": maxRows, "head_dim": maxHead, "num_attention_heads": maxHeads, "num_key_value_heads": maxHeads, "mlp_bias": true, "attention_bias": true}))
	if err != nil {
		t.Fatal(err)
	}
	if n := s.NumParams(); n < 1<<50 {
		t.Errorf("%d parameters: the count overflows", n)
	}
}

// FuzzConfig puts an arbitrary JSON value under an arbitrary key of a good configuration (or, without a key, reads it
// as the whole file): it is refused with the file's name, or describes a model that can exist.
func FuzzConfig(f *testing.F) {
	bases := []string{llamaConfig, bertConfig, t5Config}
	paths, err := filepath.Glob(filepath.Join(graphtest.Golden(f), "models", "tiny", "*", "config.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		bases = append(bases, string(b))
	}
	for i, base := range bases {
		f.Add(uint(i), "", base)
		var values map[string]json.RawMessage
		if err := json.Unmarshal([]byte(base), &values); err != nil {
			f.Fatal(err)
		}
		for key, value := range values {
			f.Add(uint(i), key, string(value))
		}
	}
	f.Fuzz(func(t *testing.T, base uint, key, value string) {
		text := value
		if key != "" {
			var values map[string]json.RawMessage
			if err := json.Unmarshal([]byte(bases[base%uint(len(bases))]), &values); err != nil {
				t.Fatal(err)
			}
			values[key] = json.RawMessage(value)
			b, err := json.Marshal(values)
			if err != nil {
				return // no JSON value
			}
			text = string(b)
		}
		c, err := parseConfig("config.json", []byte(text))
		if err != nil {
			return
		}
		s, family, err := parseSpec(c)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "model: config.json") {
				t.Errorf("the error %q does not name the file", err)
			}
			return
		}
		if family.fit != nil {
			family.fit(c, s, func(string) bool { return false })
		}
		sources := family.sources(s)
		for _, p := range s.Params() {
			if _, ok := sources[p.Name]; !ok {
				t.Fatalf("%s: no source for %s", s.Family, p.Name)
			}
			for _, d := range p.Dims {
				if d < 1 {
					t.Fatalf("%s: parameter %s has shape %v", s.Family, p.Name, p.Dims)
				}
			}
		}
		if s.NumParams() < 1 {
			t.Fatalf("%d parameters", s.NumParams())
		}
		for _, r := range s.Ropes {
			for j, f := range r.frequencies() {
				if f != f {
					t.Fatalf("frequency %d of %+v is not a number", j, r)
				}
			}
		}
		for _, site := range s.Sites() {
			for _, d := range s.Dims(site.Kind, 1, 1) {
				if d < 1 {
					t.Fatalf("site %s has shape %v", site, s.Dims(site.Kind, 1, 1))
				}
			}
		}
	})
}
