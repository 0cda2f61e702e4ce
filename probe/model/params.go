package model

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/gomlx/core/tensors"
)

// Params are the weights of one model on the device, in the order of Spec.Params.
type Params struct {
	spec    *Spec
	dtype   DType
	tensors []*tensors.Tensor
	index   map[string]int
}

// Storage is the type in which the matrices are stored, as Plan.Storage wants it.
func (p *Params) Storage() DType { return p.dtype }

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

// Values copies a parameter to the host, row-major, as float32 whatever its storage type.
func (p *Params) Values(name string) ([]float32, error) {
	t := p.Get(name)
	if t == nil {
		return nil, fmt.Errorf("model: a %s model has no parameter %q", p.spec.Family, name)
	}
	if t.DType() != dtypes.BFloat16 {
		return tensors.CopyFlatData[float32](t)
	}
	out := make([]float32, t.Size())
	return out, tensors.ConstFlatData(t, func(flat []bfloat16.BFloat16) {
		for i, v := range flat {
			out[i] = v.Float32()
		}
	})
}

// WithValues is With for values on the host, which are rounded to the storage type. Free what it made with FreeUnshared.
func (p *Params) WithValues(b compute.Backend, replaced map[string][]float32) (*Params, error) {
	made := map[string]*tensors.Tensor{}
	for name, values := range replaced {
		old := p.Get(name)
		if old == nil || old.Size() != len(values) {
			return nil, fmt.Errorf("model: %d values for parameter %q of a %s model", len(values), name, p.spec.Family)
		}
		t, err := newParam(b, p.dtype, Param{name, old.Shape().Dimensions}, values)
		if err != nil {
			return nil, fmt.Errorf("model: parameter %s: %w", name, err)
		}
		made[name] = t
	}
	return p.With(made)
}

// FreeUnshared releases the weights that p does not share with q.
func (p *Params) FreeUnshared(q *Params) error {
	for i, t := range p.tensors {
		if t == q.tensors[i] {
			continue
		}
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("model: free %s: %w", p.spec.Params()[i].Name, err)
		}
	}
	return nil
}

// Unshared is the number of weights that p does not share with q.
func (p *Params) Unshared(q *Params) int64 {
	n := int64(0)
	for i, t := range p.tensors {
		if t != q.tensors[i] {
			n += int64(t.Shape().Size())
		}
	}
	return n
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
