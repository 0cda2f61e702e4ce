package model

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// ggufFile is a GGUF file in the making: format version 3, float32 tensors.
type ggufFile struct {
	version uint32
	meta    map[string]any // uint32, float32 or string
	tensors []ggufTensor
	count   uint64 // tensors that the header promises, when not 0
}

type ggufTensor struct {
	name   string
	shape  []int // row-major
	values []float32
	kind   uint32 // ggml's type; 0 is F32
	shift  uint64 // added to the offset that the header gives
}

// bytes writes the file: header, metadata, tensor directory with dimensions innermost first, data aligned to 32 bytes.
func (g *ggufFile) bytes() []byte {
	var head, data bytes.Buffer
	le := binary.LittleEndian
	u32 := func(v uint32) { head.Write(le.AppendUint32(nil, v)) }
	u64 := func(v uint64) { head.Write(le.AppendUint64(nil, v)) }
	text := func(s string) { u64(uint64(len(s))); head.WriteString(s) }
	head.WriteString("GGUF")
	u32(g.version)
	count := uint64(len(g.tensors))
	if g.count != 0 {
		count = g.count
	}
	u64(count)
	u64(uint64(len(g.meta)))
	for key, value := range g.meta {
		text(key)
		switch v := value.(type) {
		case uint32:
			u32(4)
			u32(v)
		case float32:
			u32(6)
			u32(math.Float32bits(v))
		case string:
			u32(8)
			text(v)
		}
	}
	for _, x := range g.tensors {
		text(x.name)
		u32(uint32(len(x.shape)))
		for _, d := range slices.Backward(x.shape) {
			u64(uint64(d))
		}
		u32(x.kind)
		u64(uint64(data.Len()) + x.shift)
		for _, v := range x.values {
			data.Write(le.AppendUint32(nil, math.Float32bits(v)))
		}
		data.Write(make([]byte, (32-data.Len()%32)%32))
	}
	head.Write(make([]byte, (32-head.Len()%32)%32))
	return append(head.Bytes(), data.Bytes()...)
}

func (g *ggufFile) tensor(name string) *ggufTensor {
	for i := range g.tensors {
		if g.tensors[i].name == name {
			return &g.tensors[i]
		}
	}
	return nil
}

func (g *ggufFile) remove(name string) {
	g.tensors = slices.DeleteFunc(g.tensors, func(x ggufTensor) bool { return x.name == name })
}

// ggufOf writes a golden llama as the converters of the field do: names changed, rows of q and k permuted from two
// halves per head to pairs.
func ggufOf(t *testing.T, name string) *ggufFile {
	t.Helper()
	dir := filepath.Join(graphtest.Golden(t), "models", "tiny", name)
	info, err := Inspect(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := info.Spec
	g := &ggufFile{version: 3, meta: map[string]any{
		"general.architecture": "llama", "llama.block_count": uint32(s.Layers), "llama.embedding_length": uint32(s.DModel),
		"llama.attention.head_count": uint32(s.Heads), "llama.attention.head_count_kv": uint32(s.KVHeads), "llama.attention.key_length": uint32(s.DHead),
		"llama.feed_forward_length": uint32(s.DMLP), "llama.context_length": uint32(s.MaxPos), "llama.rope.freq_base": float32(s.Ropes[0].Theta),
		"llama.rope.dimension_count": uint32(s.DHead), "llama.attention.layer_norm_rms_epsilon": float32(s.NormEps),
	}}
	file, err := safetensors.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	names := map[string]string{
		"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight",
		"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
		"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	}
	for _, stored := range file.Names() {
		tensor, _ := file.Info(stored)
		values, err := file.Float32(stored)
		if err != nil {
			t.Fatal(err)
		}
		ours, ok := names[stored]
		if !ok {
			layer, part, _ := strings.Cut(strings.TrimPrefix(stored, "model.layers."), ".")
			ours = "blk." + layer + "." + names[strings.TrimSuffix(part, ".weight")] + ".weight"
		}
		if strings.HasSuffix(ours, "attn_q.weight") || strings.HasSuffix(ours, "attn_k.weight") {
			values = interleave(values, s.DHead, s.DModel)
		}
		g.tensors = append(g.tensors, ggufTensor{name: ours, shape: tensor.Shape, values: values})
	}
	return g
}

// interleave moves row j of the first half of each head to row 2j and row j of the second half to row 2j+1.
func interleave(values []float32, head, width int) []float32 {
	out := make([]float32, len(values))
	for row := range len(values) / width {
		h, j := row/head, row%head
		to := 2 * j
		if j >= head/2 {
			to = 2*(j-head/2) + 1
		}
		copy(out[(h*head+to)*width:], values[row*width:(row+1)*width])
	}
	return out
}

func writeGGUF(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGGUFEqualsFolder loads golden llamas from both forms: every parameter and so every output is the same.
func TestGGUFEqualsFolder(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"llama-tied", "llama-untied"} {
		folder := tiny(t, engine, name)
		m, err := Load(t.Context(), engine.Backend(), writeGGUF(t, ggufOf(t, name).bytes()), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Params.Free()
		if m.Spec.Tied != folder.Spec.Tied || m.Spec.MaxPos != folder.Spec.MaxPos || m.Spec.AttnScale != folder.Spec.AttnScale {
			t.Errorf("%s: %+v against %+v", name, m.Spec, folder.Spec)
		}
		for _, p := range folder.Spec.Params() {
			if !slices.Equal(values(t, m.Params.Get(p.Name)), values(t, folder.Params.Get(p.Name))) {
				t.Errorf("%s: parameter %s differs", name, p.Name)
			}
		}
		plan, in := Plan{Batch: 2, Seq: 6, Logits: LogitsAll}, Inputs{IDs: someIDs(6, 12, m.Spec.Vocab)}
		nearly(t, name+": logits", values(t, run(t, engine, m, plan, in).Logits()), values(t, run(t, engine, folder, plan, in).Logits()), 1e-6)
	}
}

func TestGGUFErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(g *ggufFile)
		want   []string
	}{
		{"another architecture", func(g *ggufFile) { g.meta["general.architecture"] = "falcon" }, []string{`"falcon"`, "llama", "Hugging Face folder"}},
		{"no architecture", func(g *ggufFile) { delete(g.meta, "general.architecture") }, []string{`""`, "llama"}},
		{"missing size", func(g *ggufFile) { delete(g.meta, "llama.feed_forward_length") }, []string{"llama.feed_forward_length", "missing"}},
		{"missing epsilon", func(g *ggufFile) { delete(g.meta, "llama.attention.layer_norm_rms_epsilon") }, []string{"layer_norm_rms_epsilon"}},
		{"size as a text", func(g *ggufFile) { g.meta["llama.block_count"] = "two" }, []string{"llama.block_count"}},
		{"four billion layers", func(g *ggufFile) { g.meta["llama.block_count"] = uint32(math.MaxUint32) }, []string{"llama.block_count", "out of range"}},
		{"no heads", func(g *ggufFile) { g.meta["llama.attention.head_count"] = uint32(0) }, []string{"llama.attention.head_count"}},
		{"more key heads than heads", func(g *ggufFile) { g.meta["llama.attention.head_count_kv"] = uint32(9) }, []string{"key/value heads"}},
		{"odd rotation", func(g *ggufFile) { g.meta["llama.rope.dimension_count"] = uint32(5) }, []string{"rotary width", "5"}},
		{"scaled rotation", func(g *ggufFile) { g.meta["llama.rope.scaling.type"] = "yarn" }, []string{`"yarn"`, "Hugging Face folder"}},
		{"rotation with factors", func(g *ggufFile) {
			g.tensors = append(g.tensors, ggufTensor{name: "rope_freqs.weight", shape: []int{6}, values: make([]float32, 6)})
		}, []string{"rope_freqs", "Hugging Face folder"}},
		{"missing tensor", func(g *ggufFile) { g.remove("blk.1.ffn_up.weight") }, []string{"blk.1.ffn_up.weight is missing", "blocks.1.W_in", "[96 36]"}},
		{"no embeddings", func(g *ggufFile) { g.remove("token_embd.weight") }, []string{"token_embd.weight"}},
		{"extra tensor", func(g *ggufFile) {
			g.tensors = append(g.tensors, ggufTensor{name: "blk.0.attn_q.bias", shape: []int{36}, values: make([]float32, 36)})
		}, []string{"blk.0.attn_q.bias", "--allow-extra"}},
		{"misshapen tensor", func(g *ggufFile) { g.tensor("blk.0.ffn_up.weight").shape = []int{36, 96} }, []string{"blk.0.ffn_up.weight", "[36 96]", "[96 36]"}},
		{"promise of more tensors", func(g *ggufFile) { g.count = 1 << 40 }, []string{"gguf"}},
		{"tensor beyond the file", func(g *ggufFile) { g.tensors[len(g.tensors)-1].shift = 1 << 40 }, []string{"gguf"}},
		{"dimensions beyond the file", func(g *ggufFile) { g.tensor("token_embd.weight").shape = []int{1 << 30, 1 << 30} }, []string{"token_embd.weight"}},
		{"unknown type of tensor", func(g *ggufFile) { g.tensor("token_embd.weight").kind = 250 }, []string{"token_embd.weight"}},
		{"version of the future", func(g *ggufFile) { g.version = 9 }, []string{"version"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := ggufOf(t, "llama-tied")
			test.damage(g)
			path := writeGGUF(t, g.bytes())
			_, err := Load(t.Context(), graphtest.Backend(t), path, Options{})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range append(test.want, path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
		})
	}
	whole := ggufOf(t, "llama-tied").bytes()
	for _, keep := range []int{0, 3, 20, 200, len(whole) / 2, len(whole) - 64} {
		if _, err := Inspect(writeGGUF(t, whole[:keep]), Options{}); err == nil || !strings.Contains(err.Error(), "model.gguf") {
			t.Errorf("the first %d bytes: %v", keep, err)
		}
	}
}
