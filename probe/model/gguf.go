package model

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"loupe/internal/gguf"
	"loupe/internal/safetensors"
)

// openGGUF opens a Llama-like model (architecture "llama": Llama, Mistral, SmolLM2) in a GGUF file; its tensors are
// dequantised as they are read.
func openGGUF(path string, opt Options) (*checkpoint, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	spec, err := ggufSpec(file)
	if err == nil {
		err = matchGGUF(file, spec, opt)
	}
	if err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, closing(err, file.Close))
	}
	names := ggufNames(spec)
	read := func(p Param) (matrix, error) {
		data, err := file.Float32(names[p.Name])
		if err != nil {
			return matrix{}, fmt.Errorf("model: %w", err)
		}
		if ext := filepath.Ext(p.Name); ext == ".W_Q" || ext == ".W_K" {
			data = unpermute(data, p.Dims[0]/spec.DHead, spec.DHead)
		}
		return matrix{data, p.Dims}, nil
	}
	var stored []storedTensor
	for _, t := range file.Tensors() {
		stored = append(stored, storedTensor{t.Type, product(t.Shape)})
	}
	return &checkpoint{
		spec: spec, read: read, stored: stored, files: []string{path}, close: file.Close, digest: func() (string, error) { return safetensors.Digest(path) },
	}, nil
}

// matchGGUF checks that the file holds every parameter in its shape and nothing else.
func matchGGUF(file *gguf.File, spec *Spec, opt Options) error {
	shapes := map[string][]int{}
	for _, t := range file.Tensors() {
		shapes[t.Name] = t.Shape
	}
	names := ggufNames(spec)
	for _, p := range spec.Params() {
		name := names[p.Name]
		shape, ok := shapes[name]
		if !ok {
			return fmt.Errorf("tensor %s is missing (parameter %s, shape %v); the file is incomplete", name, p.Name, p.Dims)
		}
		if !slices.Equal(shape, p.Dims) {
			return misshapen(name, p, shape)
		}
		delete(shapes, name)
	}
	if opt.AllowExtra {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		return fmt.Errorf("tensor %s is not part of a llama model; if that is intended allow extra tensors (--allow-extra)", name)
	}
	return nil
}

// ggufSpec reads the Spec from the file's metadata.
func ggufSpec(file *gguf.File) (*Spec, error) {
	arch, _ := file.String("general.architecture")
	if arch != "llama" {
		return nil, fmt.Errorf("GGUF architecture %q is not supported (llama is); load the model from its Hugging Face folder instead", arch)
	}
	var missing string
	size := func(key string, most int64) int {
		n, ok := file.Int("llama." + key)
		if !ok || n < 1 || n > most {
			missing = "llama." + key
			return 1
		}
		return int(n)
	}
	d, heads := size("embedding_length", maxWidth), size("attention.head_count", maxHeads)
	s := &Spec{
		Family: "llama", Decoder: true, Causal: true, Layers: size("block_count", maxLayers), DModel: d, Heads: heads, KVHeads: heads, DHead: d / heads,
		DMLP: size("feed_forward_length", maxMLP), MaxPos: size("context_length", math.MaxInt32), Norm: RMSNorm, Place: PreNorm, FinalNorm: true, Act: "silu", Gated: true,
	}
	if _, ok := file.Int("llama.attention.head_count_kv"); ok {
		s.KVHeads = size("attention.head_count_kv", maxHeads)
	}
	if _, ok := file.Int("llama.attention.key_length"); ok {
		s.DHead = size("attention.key_length", maxHead)
	} else if d%heads != 0 {
		missing = "llama.attention.key_length"
	}
	if pad, ok := file.Int("tokenizer.ggml.padding_token_id"); ok && pad >= 0 && pad <= math.MaxInt32 {
		s.PadID = int(pad)
	}
	eps, ok := file.Float("llama.attention.layer_norm_rms_epsilon")
	if !ok {
		missing = "llama.attention.layer_norm_rms_epsilon"
	}
	s.NormEps = eps
	theta, ok := file.Float("llama.rope.freq_base")
	if !ok {
		theta = 10000
	}
	rotary := Rope{Theta: theta, Dim: s.DHead, Type: "default"}
	if _, ok := file.Int("llama.rope.dimension_count"); ok {
		rotary.Dim = size("rope.dimension_count", maxHead)
	}
	if kind, ok := file.String("llama.rope.scaling.type"); ok && kind != "none" {
		return nil, fmt.Errorf("rope scaling %q in a GGUF file is not supported; load the Hugging Face folder instead", kind)
	}
	s.AttnScale = 1 / math.Sqrt(float64(s.DHead))
	s.uniformRope(rotary)
	s.Tied = true
	for _, t := range file.Tensors() {
		switch t.Name {
		case "output.weight":
			s.Tied = false
		case "token_embd.weight":
			if len(t.Shape) == 2 {
				s.Vocab = t.Shape[0]
			}
		case "rope_freqs.weight":
			return nil, errors.New("scaled rotary frequencies (rope_freqs) in a GGUF file are not supported; load the Hugging Face folder instead")
		}
	}
	if missing == "" && s.Vocab == 0 {
		missing = "token_embd.weight"
	}
	if missing != "" {
		return nil, fmt.Errorf("%s is missing or out of range; the file is damaged or incomplete", missing)
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("%w; the file is damaged", err)
	}
	return s, nil
}

// ggufNames maps canonical parameters to ggml's names.
func ggufNames(s *Spec) map[string]string {
	out := map[string]string{"W_E": "token_embd.weight", "ln_final.w": "output_norm.weight", "W_U": "output.weight"}
	for i := range s.Layers {
		for canonical, theirs := range map[string]string{
			"ln1.w": "attn_norm", "ln2.w": "ffn_norm", "W_Q": "attn_q", "W_K": "attn_k", "W_V": "attn_v", "W_O": "attn_output",
			"W_gate": "ffn_gate", "W_in": "ffn_up", "W_out": "ffn_down",
		} {
			out[blockName(i, canonical)] = fmt.Sprintf("blk.%d.%s.weight", i, theirs)
		}
	}
	return out
}

// unpermute undoes the row order that GGUF gives llama's q and k for interleaved rotation: within each head, rows
// [e/2, 2] become [2, e/2].
func unpermute(data []float32, heads, width int) []float32 {
	stride := len(data) / (heads * width)
	out := make([]float32, len(data))
	for h := range heads {
		for j := range width {
			from := (h*width + (j%(width/2))*2 + j/(width/2)) * stride
			copy(out[(h*width+j)*stride:], data[from:from+stride])
		}
	}
	return out
}
