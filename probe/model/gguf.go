package model

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"

	"loupe/internal/gguf"
	"loupe/internal/safetensors"
)

// loadGGUF reads a Llama-like model (architecture "llama": Llama, Mistral, SmolLM2) from a GGUF file, dequantised.
func loadGGUF(ctx context.Context, b compute.Backend, path string, opt Options) (*Model, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer file.Close()
	spec, err := ggufSpec(file, path)
	if err != nil {
		return nil, err
	}
	shapes := map[string][]int{}
	for _, t := range file.Tensors() {
		shapes[t.Name] = t.Shape
	}
	names := ggufNames(spec)
	read := func(p Param) (matrix, error) {
		name := names[p.Name]
		shape, ok := shapes[name]
		if !ok {
			return matrix{}, fmt.Errorf("model: %s: tensor %s is missing (parameter %s, shape %v); the file is incomplete", path, name, p.Name, p.Dims)
		}
		delete(shapes, name)
		if !slices.Equal(shape, p.Dims) {
			return matrix{}, fmt.Errorf("model: %s: tensor %s has shape %v; the file's metadata asks for %v", path, name, shape, p.Dims)
		}
		data, err := file.Float32(name)
		if err != nil {
			return matrix{}, fmt.Errorf("model: %w", err)
		}
		if base := filepath.Ext(p.Name); base == ".W_Q" || base == ".W_K" {
			data = unpermute(data, shape[0]/spec.DHead, spec.DHead)
		}
		return matrix{data, shape}, nil
	}
	params, err := upload(ctx, b, spec, opt.DType, read)
	if err != nil {
		return nil, err
	}
	delete(shapes, "rope_freqs.weight")
	for name := range shapes {
		if !opt.AllowExtra {
			_ = params.Free()
			return nil, fmt.Errorf("model: %s: tensor %s is not part of a llama model; if that is intended allow extra tensors (--allow-extra)", path, name)
		}
	}
	digest, err := safetensors.Digest(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return &Model{Name: filepath.Base(path), Dir: path, Spec: spec, Params: params, Digest: digest}, nil
}

// ggufSpec reads the Spec from the file's metadata.
func ggufSpec(file *gguf.File, path string) (*Spec, error) {
	arch, _ := file.String("general.architecture")
	if arch != "llama" {
		return nil, fmt.Errorf("model: %s: GGUF architecture %q is not supported (llama is); load the model from its Hugging Face folder instead", path, arch)
	}
	var missing string
	size := func(key string) int {
		n, ok := file.Int("llama." + key)
		if !ok || n < 1 || n > 1<<24 {
			missing = "llama." + key
			return 1
		}
		return int(n)
	}
	d, heads := size("embedding_length"), size("attention.head_count")
	s := &Spec{
		Family: "llama", Decoder: true, Causal: true, Layers: size("block_count"), DModel: d, Heads: heads, KVHeads: heads, DHead: d / heads,
		DMLP: size("feed_forward_length"), MaxPos: size("context_length"), Norm: RMSNorm, Place: PreNorm, FinalNorm: true, Act: "silu", Gated: true,
	}
	if n, ok := file.Int("llama.attention.head_count_kv"); ok && n > 0 {
		s.KVHeads = int(n)
	}
	if n, ok := file.Int("llama.attention.key_length"); ok && n > 0 {
		s.DHead = int(n)
	}
	if pad, ok := file.Int("tokenizer.ggml.padding_token_id"); ok {
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
	if n, ok := file.Int("llama.rope.dimension_count"); ok {
		rotary.Dim = int(n)
	}
	if kind, ok := file.String("llama.rope.scaling.type"); ok && kind != "none" {
		return nil, fmt.Errorf("model: %s: rope scaling %q in a GGUF file is not supported; load the Hugging Face folder instead", path, kind)
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
			return nil, fmt.Errorf("model: %s: scaled rotary frequencies (rope_freqs) in a GGUF file are not supported; load the Hugging Face folder instead", path)
		}
	}
	if missing == "" && s.Vocab == 0 {
		missing = "token_embd.weight"
	}
	if missing != "" {
		return nil, fmt.Errorf("model: %s: %s is missing or out of range; the file is damaged or incomplete", path, missing)
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, err)
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
