package model

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/gomlx/core/tensors"
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

// Load reads a model from a Hugging Face folder or a .gguf file onto backend b. The configuration is held against the
// headers of the weight files before a weight is read. Errors name the file and tensor.
func Load(ctx context.Context, b compute.Backend, path string, opt Options) (*Model, error) {
	if opt.DType == "" {
		opt.DType = Float32
	}
	if opt.DType != Float32 && opt.DType != BFloat16 {
		return nil, fmt.Errorf("model: unknown storage type %q; use float32 or bfloat16", opt.DType)
	}
	file, err := open(path, opt)
	if err != nil {
		return nil, err
	}
	defer file.close()
	params, err := upload(ctx, b, file.spec, opt.DType, file.read)
	if err != nil {
		return nil, err
	}
	digest, err := file.digest()
	if err != nil {
		return nil, errors.Join(err, params.Free())
	}
	return &Model{Name: filepath.Base(path), Dir: path, Spec: file.spec, Params: params, Digest: digest}, nil
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
