package model

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/safetensors"
)

// DType is the type in which a model's matrices are stored; graphs always compute in float32.
type DType string

// Storage types.
const (
	Float32  DType = "float32"
	BFloat16 DType = "bfloat16"
)

// Options say how to load a model.
type Options struct {
	DType      DType // "" is Float32
	AllowExtra bool  // accept tensors that the architecture does not use
}

// Model is a loaded model.
type Model struct {
	Name   string // the folder's or file's base name
	Dir    string // the folder with the tokenizer; for a GGUF file the file itself
	Spec   *Spec
	Params *Params
	Digest string // SHA-256 over the weight files
}

// Params are the weights of one model on the device, in the order of Spec.Params.
type Params struct {
	spec    *Spec
	dtype   DType
	tensors []*tensors.Tensor
	index   map[string]int
}

// Get returns a parameter by its canonical name, or nil. The tensor belongs to the Params.
func (p *Params) Get(name string) *tensors.Tensor {
	i, ok := p.index[name]
	if !ok {
		return nil
	}
	return p.tensors[i]
}

// With returns a copy of the Params in which the named parameters are replaced; the others are shared.
func (p *Params) With(replaced map[string]*tensors.Tensor) (*Params, error) {
	q := &Params{spec: p.spec, dtype: p.dtype, tensors: slices.Clone(p.tensors), index: p.index}
	for name, t := range replaced {
		i, ok := p.index[name]
		if !ok {
			return nil, fmt.Errorf("model: a %s model has no parameter %q", p.spec.Family, name)
		}
		if !t.Shape().Equal(p.tensors[i].Shape()) {
			return nil, fmt.Errorf("model: parameter %s has shape %s, not %s", name, p.tensors[i].Shape(), t.Shape())
		}
		q.tensors[i] = t
	}
	return q, nil
}

// Free releases the weights.
func (p *Params) Free() error {
	for i, t := range p.tensors {
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("model: free %s: %w", p.spec.Params()[i].Name, err)
		}
	}
	return nil
}

// paramType is the type in which a parameter of these dimensions is stored.
func paramType(d DType, dims []int) dtypes.DType {
	if d == BFloat16 && len(dims) > 1 {
		return dtypes.BFloat16
	}
	return floatType
}

// Load reads a model from a Hugging Face folder or a .gguf file onto backend b. Errors name the file and tensor.
func Load(ctx context.Context, b compute.Backend, path string, opt Options) (*Model, error) {
	if opt.DType == "" {
		opt.DType = Float32
	}
	if opt.DType != Float32 && opt.DType != BFloat16 {
		return nil, fmt.Errorf("model: unknown storage type %q; use float32 or bfloat16", opt.DType)
	}
	if strings.HasSuffix(path, ".gguf") {
		return loadGGUF(ctx, b, path, opt)
	}
	c, err := readConfig(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, err
	}
	spec, family, err := parseSpec(c)
	if err != nil {
		return nil, err
	}
	if spec.Sentence, err = readPooling(path); err != nil {
		return nil, err
	}
	files, err := safetensors.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer files.Close()
	params, err := loadParams(ctx, b, spec, family, files, path, opt)
	if err != nil {
		return nil, err
	}
	digest, err := weightDigest(path)
	if err != nil {
		return nil, err
	}
	return &Model{Name: filepath.Base(path), Dir: path, Spec: spec, Params: params, Digest: digest}, nil
}

// loadParams reads every parameter of the Spec from files.
func loadParams(ctx context.Context, b compute.Backend, s *Spec, f family, files safetensors.Reader, path string, opt Options) (*Params, error) {
	names := map[string]string{} // normalised -> stored
	for _, stored := range files.Names() {
		names[f.normalise(stored)] = stored
	}
	used := map[string]bool{}
	sources := f.sources(s)
	read := func(p Param) (matrix, error) {
		src, ok := sources[p.Name]
		if !ok {
			return matrix{}, fmt.Errorf("model: %s: no source for parameter %s", s.Family, p.Name)
		}
		for _, name := range src.names {
			stored, ok := names[name]
			if !ok {
				continue
			}
			used[name] = true
			info, _ := files.Info(stored)
			data, err := files.Float32(stored)
			if err != nil {
				return matrix{}, fmt.Errorf("model: %w", err)
			}
			x := matrix{data, info.Shape}
			if src.transform != nil {
				if x, err = src.transform(x); err != nil {
					return matrix{}, fmt.Errorf("model: %s: tensor %s: %w; the file does not fit config.json", path, stored, err)
				}
			}
			if !slices.Equal(x.dims, p.Dims) {
				return matrix{}, fmt.Errorf("model: %s: tensor %s gives %s of shape %v; config.json asks for %v", path, stored, p.Name, x.dims, p.Dims)
			}
			return x, nil
		}
		return matrix{}, fmt.Errorf("model: %s: tensor %s is missing (parameter %s, shape %v); the checkpoint does not fit config.json or is incomplete", path, src.names[0], p.Name, p.Dims)
	}
	params, err := upload(ctx, b, s, opt.DType, read)
	if err != nil {
		return nil, err
	}
	if opt.AllowExtra {
		return params, nil
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !used[name] && !f.ignores(name) {
			return nil, errors.Join(fmt.Errorf("model: %s: tensor %s is not part of a %s model; if that is intended allow extra tensors (--allow-extra)", path, names[name], s.Family), params.Free())
		}
	}
	return params, nil
}

// upload copies the Spec's parameters, read one at a time, to the device.
func upload(ctx context.Context, b compute.Backend, s *Spec, d DType, read func(Param) (matrix, error)) (*Params, error) {
	out := &Params{spec: s, dtype: d, index: map[string]int{}}
	for _, p := range s.Params() {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(err, out.Free())
		}
		x, err := read(p)
		if err != nil {
			return nil, errors.Join(err, out.Free())
		}
		t, err := newParam(b, d, p, x.data)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("model: parameter %s: %w", p.Name, err), out.Free())
		}
		out.index[p.Name] = len(out.tensors)
		out.tensors = append(out.tensors, t)
	}
	return out, nil
}

// newParam makes a device tensor of data in the storage type.
func newParam(b compute.Backend, d DType, p Param, data []float32) (*tensors.Tensor, error) {
	dtype := paramType(d, p.Dims)
	t, err := tensors.FromShapeForBackend(b, 0, shapeOf(dtype, p.Dims...))
	if err != nil {
		return nil, err
	}
	if dtype == floatType {
		return t, tensors.MutableFlatData(t, func(flat []float32) { copy(flat, data) })
	}
	return t, tensors.MutableFlatData(t, func(flat []bfloat16.BFloat16) {
		for i, v := range data {
			flat[i] = bfloat16.FromFloat32(v)
		}
	})
}

// normalise removes the family's optional prefix and old names of LayerNorm weights from a tensor's name.
func (f family) normalise(name string) string {
	for _, p := range f.prefixes {
		if rest, ok := strings.CutPrefix(name, p); ok {
			name = rest
			break
		}
	}
	if rest, ok := strings.CutSuffix(name, "LayerNorm.gamma"); ok {
		return rest + "LayerNorm.weight"
	}
	if rest, ok := strings.CutSuffix(name, "LayerNorm.beta"); ok {
		return rest + "LayerNorm.bias"
	}
	return name
}

// ignores tells whether a tensor is known to carry nothing for this architecture.
func (f family) ignores(name string) bool {
	for _, pattern := range f.ignore {
		if matchStar(pattern, name) {
			return true
		}
	}
	return false
}

// matchStar matches name against a pattern in which * stands for any run of characters.
func matchStar(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	for i := 0; i <= len(name); i++ {
		if matchStar(rest, name[i:]) {
			return true
		}
	}
	return false
}

// weightDigest is the SHA-256 over the digests of the folder's safetensors files in name order.
func weightDigest(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	h := sha256.New()
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "model") || !strings.HasSuffix(e.Name(), ".safetensors") {
			continue
		}
		d, err := safetensors.Digest(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", fmt.Errorf("model: %w", err)
		}
		fmt.Fprintf(h, "%s %s\n", e.Name(), d)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readPooling reads the sentence-transformers configuration of a folder, if it has one.
func readPooling(dir string) (SentencePooling, error) {
	var out SentencePooling
	path := filepath.Join(dir, "modules.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("model: %w", err)
	}
	var modules []struct{ Path, Type string }
	if err := json.Unmarshal(b, &modules); err != nil {
		return out, fmt.Errorf("model: %s: %w; fetch the file again", path, err)
	}
	for _, m := range modules {
		switch kind := m.Type[strings.LastIndex(m.Type, ".")+1:]; kind {
		case "Transformer":
		case "Normalize":
			out.Normalize = true
		case "Pooling":
			if !filepath.IsLocal(m.Path) {
				return out, fmt.Errorf("model: %s: module path %q leaves the folder", path, m.Path)
			}
			c, err := readConfig(filepath.Join(dir, m.Path, "config.json"))
			if err != nil {
				return out, err
			}
			for _, mode := range []struct{ key, name string }{
				{"pooling_mode_cls_token", "cls"}, {"pooling_mode_mean_tokens", "mean"}, {"pooling_mode_max_tokens", "max"},
				{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"}, {"pooling_mode_lasttoken", "last"},
			} {
				if !c.bool(false, mode.key) {
					continue
				}
				if out.Mode != "" {
					return out, fmt.Errorf("model: %s: pooling by %s and %s at once is not supported", c.path, out.Mode, mode.name)
				}
				out.Mode = mode.name
			}
			if c.err != nil {
				return out, c.err
			}
		default:
			return out, fmt.Errorf("model: %s: sentence-transformers module %q is not supported (Transformer, Pooling and Normalize are)", path, kind)
		}
	}
	return out, nil
}
