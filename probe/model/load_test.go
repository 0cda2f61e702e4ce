package model

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// TestLoadErrors damages good folders one way each. Nothing is put on a device: what can be known from the
// configuration and the headers is known before a weight is read.
func TestLoadErrors(t *testing.T) {
	type tensorMap = map[string]safetensors.Tensor
	for _, test := range []struct {
		name   string
		model  string
		damage func(f *testFolder)
		want   []string
	}{
		{"no configuration", "gpt2", func(f *testFolder) { f.remove("config.json") }, []string{"config.json", "Hugging Face model folder"}},
		{"no weights", "gpt2", func(f *testFolder) { f.remove("model.safetensors") }, []string{"model.safetensors"}},
		{"configuration cut short", "gpt2", func(f *testFolder) { f.cut("config.json", 0.5) }, []string{"config.json", "fetch the file again"}},
		{"missing tensor", "gpt2", func(f *testFolder) {
			f.tensors(func(m tensorMap) { delete(m, f.only(m, "ln_f.bias")) })
		}, []string{"ln_f.bias is missing", "ln_final.b", "[48]"}},
		{"missing tensor of a layer", "bert", func(f *testFolder) {
			f.tensors(func(m tensorMap) { delete(m, f.only(m, "layer.1.intermediate.dense.weight")) })
		}, []string{"encoder.layer.1.intermediate.dense.weight is missing", "blocks.1.W_in"}},
		{"extra tensor", "gpt2", func(f *testFolder) {
			f.tensors(func(m tensorMap) {
				m["h.0.adapter.weight"] = safetensors.F32("h.0.adapter.weight", []int{2}, []float32{1, 2})
			})
		}, []string{"h.0.adapter.weight", "not part of a gpt2 model", "--allow-extra"}},
		{"misshapen tensor", "gpt2", func(f *testFolder) {
			f.tensors(func(m tensorMap) {
				name := f.only(m, "wpe.weight")
				m[name] = safetensors.F32(name, []int{31, 48}, make([]float32, 31*48))
			})
		}, []string{"wpe.weight", "W_pos", "[31 48]", "[32 48]"}},
		{"layers of a deeper model", "llama-tied", func(f *testFolder) { f.set(map[string]any{"num_hidden_layers": 3}) }, []string{"layers.2.", "is missing", "blocks.2."}},
		{"layers of a shallower model", "llama-tied", func(f *testFolder) { f.set(map[string]any{"num_hidden_layers": 1}) }, []string{"layers.1.", "not part of"}},
		{"another family's weights", "bert", func(f *testFolder) { f.set(map[string]any{"model_type": "distilbert"}) }, []string{"transformer.layer.0.", "missing"}},
		{"weights cut short", "gpt2", func(f *testFolder) { f.cut("model.safetensors", 0.5) }, []string{"model.safetensors"}},
		{"weights cut in the header", "gpt2", func(f *testFolder) { f.cut("model.safetensors", 0.001) }, []string{"model.safetensors"}},
		{"weights empty", "gpt2", func(f *testFolder) { f.write("model.safetensors", "") }, []string{"model.safetensors"}},
		{"missing shard", "mistral-sliding", func(f *testFolder) { f.remove("model-00002-of-00003.safetensors") }, []string{"model-00002-of-00003.safetensors"}},
		{"index that lies about a shard", "mistral-sliding", func(f *testFolder) {
			f.replace("model.safetensors.index.json", "model-00002-of-00003", "model-00001-of-00003")
		}, []string{"model.safetensors.index.json"}},
		{"index that leaves the folder", "mistral-sliding", func(f *testFolder) {
			f.replace("model.safetensors.index.json", "model-00002-of-00003.safetensors", "../model-00002-of-00003.safetensors")
		}, []string{"../model-00002-of-00003.safetensors"}},
		{"index that is no JSON", "mistral-sliding", func(f *testFolder) { f.cut("model.safetensors.index.json", 0.5) }, []string{"model.safetensors.index.json"}},
		{"modules that are no JSON", "bert", func(f *testFolder) { f.write("modules.json", "{") }, []string{"modules.json", "fetch the file again"}},
		{"module outside the folder", "bert", func(f *testFolder) {
			f.write("modules.json", `[{"path":"../1_Pooling","type":"sentence_transformers.models.Pooling"}]`)
		}, []string{"modules.json", "../1_Pooling", "leaves the folder"}},
		{"module with an absolute path", "bert", func(f *testFolder) {
			f.write("modules.json", `[{"path":"/1_Pooling","type":"sentence_transformers.models.Pooling"}]`)
		}, []string{"modules.json", "leaves the folder"}},
		{"unknown module", "bert", func(f *testFolder) {
			f.write("modules.json", `[{"path":"2_Dense","type":"sentence_transformers.models.Dense"}]`)
		}, []string{"modules.json", `"Dense"`, "Pooling and Normalize"}},
		{"transformer in a folder of its own", "bert", func(f *testFolder) {
			f.write("modules.json", `[{"path":"0_Transformer","type":"sentence_transformers.models.Transformer"}]`)
		}, []string{"0_Transformer", "copy"}},
		{"no pooling configuration", "bert", func(f *testFolder) { f.pooling("") }, []string{filepath.Join("1_Pooling", "config.json")}},
		{"two poolings", "bert", func(f *testFolder) {
			f.pooling(`{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}`)
		}, []string{filepath.Join("1_Pooling", "config.json"), "exactly one"}},
		{"no pooling", "bert", func(f *testFolder) { f.pooling(`{"pooling_mode_cls_token": false}`) }, []string{"exactly one"}},
		{"weighted pooling", "bert", func(f *testFolder) { f.pooling(`{"pooling_mode_weightedmean_tokens": true}`) }, []string{"exactly one"}},
		{"pooling that is no truth value", "bert", func(f *testFolder) { f.pooling(`{"pooling_mode_cls_token": "yes"}`) }, []string{"pooling_mode_cls_token", "true or false"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := copyFolder(t, test.model)
			if _, err := Inspect(f.dir, Options{}); err != nil {
				t.Fatalf("the undamaged folder fails: %v", err)
			}
			test.damage(f)
			_, err := Inspect(f.dir, Options{})
			if err == nil {
				t.Fatal("the damaged folder is accepted")
			}
			for _, want := range append(test.want, f.dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
		})
	}
}

// only returns the one stored name that ends in suffix.
func (f *testFolder) only(m map[string]safetensors.Tensor, suffix string) string {
	f.t.Helper()
	found := ""
	for name := range m {
		if strings.HasSuffix(name, suffix) {
			if found != "" {
				f.t.Fatalf("%s and %s end in %s", found, name, suffix)
			}
			found = name
		}
	}
	if found == "" {
		f.t.Fatalf("no tensor ends in %s", suffix)
	}
	return found
}

func (f *testFolder) remove(name string) {
	f.t.Helper()
	if err := os.Remove(f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *testFolder) replace(name, old, new string) {
	f.t.Helper()
	b, err := os.ReadFile(f.path(name))
	if err != nil || !strings.Contains(string(b), old) {
		f.t.Fatalf("%s holds no %s (%v)", name, old, err)
	}
	f.write(name, strings.ReplaceAll(string(b), old, new))
}

// pooling writes a sentence-transformers configuration; "" leaves out the pooling module's own file.
func (f *testFolder) pooling(config string) {
	f.t.Helper()
	f.write("modules.json", `[{"path":"","type":"sentence_transformers.models.Transformer"},{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]`)
	if config != "" {
		f.write(filepath.Join("1_Pooling", "config.json"), config)
	}
}

func TestPoolingModes(t *testing.T) {
	for _, test := range []struct {
		config string
		want   string
	}{
		{`{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}`, "mean"},
		{`{"pooling_mode_cls_token": true}`, "cls"},
		{`{"pooling_mode_max_tokens": true}`, "max"},
		{`{"pooling_mode_mean_sqrt_len_tokens": true}`, "mean_sqrt_len"},
		{`{"pooling_mode_lasttoken": true}`, "last"},
		{`{"pooling_mode": "mean"}`, "mean"},
		{`{"pooling_mode": "lasttoken"}`, "last"},
	} {
		f := copyFolder(t, "bert")
		f.pooling(test.config)
		info, err := Inspect(f.dir, Options{})
		if err != nil || info.Spec.Sentence.Mode != test.want || info.Spec.Sentence.Normalize {
			t.Errorf("%s: %+v, %v", test.config, info, err)
		}
	}
	f := copyFolder(t, "bert")
	f.pooling(`{"pooling_mode_mean_tokens": true}`)
	f.replace("modules.json", "]", `,{"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]`)
	if info, err := Inspect(f.dir, Options{}); err != nil || !info.Spec.Sentence.Normalize {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestCheckpointVariants loads what published checkpoints of one architecture differ in.
func TestCheckpointVariants(t *testing.T) {
	rename := func(f *testFolder, name func(string) string) {
		f.tensors(func(m map[string]safetensors.Tensor) {
			for old, x := range m {
				delete(m, old)
				x.Name = name(old)
				m[x.Name] = x
			}
		})
	}
	for _, test := range []struct {
		name, model string
		change      func(f *testFolder)
		check       func(s *Spec) bool
	}{
		{"the prefix of a model with a head, or none", "bert", func(f *testFolder) {
			rename(f, func(n string) string {
				if rest, ok := strings.CutPrefix(n, "bert."); ok {
					return rest
				}
				return "bert." + n
			})
		}, func(s *Spec) bool { return s.Pooler == PoolerFirst }},
		{"LayerNorms by their old names", "bert", func(f *testFolder) {
			rename(f, func(n string) string {
				n = strings.Replace(n, "LayerNorm.weight", "LayerNorm.gamma", 1)
				return strings.Replace(n, "LayerNorm.bias", "LayerNorm.beta", 1)
			})
		}, func(s *Spec) bool { return true }},
		{"no pooler", "roberta", func(f *testFolder) {
			f.tensors(func(m map[string]safetensors.Tensor) {
				delete(m, f.only(m, "pooler.dense.weight"))
				delete(m, f.only(m, "pooler.dense.bias"))
			})
		}, func(s *Spec) bool { return s.Pooler == PoolerNone }},
		{"a masked language model's head", "bert", func(f *testFolder) {
			f.tensors(func(m map[string]safetensors.Tensor) {
				m["cls.predictions.bias"] = safetensors.F32("cls.predictions.bias", []int{1}, []float32{1})
			})
		}, func(s *Spec) bool { return true }},
		{"a projection without its class name", "clip-quickgelu", func(f *testFolder) { f.drop("architectures") }, func(s *Spec) bool { return s.Projection > 0 }},
		{"a tied head that is stored", "llama-tied", func(f *testFolder) {
			f.tensors(func(m map[string]safetensors.Tensor) {
				head := m[f.only(m, "embed_tokens.weight")]
				head.Name = "lm_head.weight"
				m[head.Name] = head
			})
		}, func(s *Spec) bool { return s.Tied }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := copyFolder(t, test.model)
			test.change(f)
			info, err := Inspect(f.dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !test.check(info.Spec) {
				t.Errorf("%+v", info.Spec)
			}
		})
	}
	f := copyFolder(t, "gpt2")
	f.tensors(func(m map[string]safetensors.Tensor) { m["extra"] = safetensors.F32("extra", []int{1}, []float32{1}) })
	if _, err := Inspect(f.dir, Options{AllowExtra: true}); err != nil {
		t.Errorf("an extra tensor that is allowed: %v", err)
	}
}

// TestInspectEqualsLoad holds the description against the loaded model, and the digest against changed weights.
func TestInspectEqualsLoad(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "mistral-sliding")
	info, err := Inspect(m.Dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if info.Digest != m.Digest || info.Spec.Digest() != m.Spec.Digest() || info.Stored["F32"] != m.Spec.NumParams() {
		t.Errorf("%+v describes another model than the loaded one", info)
	}
	f := copyFolder(t, "gpt2")
	one, err := Inspect(f.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.tensors(func(m map[string]safetensors.Tensor) { m[f.only(m, "ln_f.bias")].Data[0] ^= 1 })
	two, err := Inspect(f.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Digest == two.Digest {
		t.Error("another weight has the same digest")
	}
}

func TestLoadStops(t *testing.T) {
	b := graphtest.Backend(t)
	dir := filepath.Join(graphtest.Golden(t), "models", "tiny", "gpt2")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, b, dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled load gives %v", err)
	}
	if _, err := Load(t.Context(), b, dir, Options{DType: "float16"}); err == nil || !strings.Contains(err.Error(), "bfloat16") {
		t.Errorf("storage as float16: %v", err)
	}
}
