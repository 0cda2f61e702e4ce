package model

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gomlx/compute"
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
