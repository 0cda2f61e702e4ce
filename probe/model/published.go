package model

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"loupe/internal/safetensors"
)

// Published are a model's tensors as its folder stores them.
type Published struct {
	Tensors  []safetensors.Tensor
	Metadata map[string]string
	Changed  []string // parameters whose values differ from the folder's, by canonical name
}

// Publish returns the tensors of the folder that m was loaded from, under their names there, with the weights of p that
// differ from m's in the place of the stored ones: the inverse of what Load does. What is unchanged keeps its bytes; a
// tensor that changes is stored as float32, whatever it was; copies of it that the folder keeps for tied weights change too.
func Publish(m *Model, p *Params) (*Published, error) {
	if strings.HasSuffix(strings.ToLower(m.Dir), ".gguf") {
		return nil, fmt.Errorf("model: %s is a GGUF file, whose quantised weights cannot take an edit; load the model from its Hugging Face folder", m.Dir)
	}
	f, err := matchFolder(m.Dir, Options{AllowExtra: true})
	if err != nil {
		return nil, err
	}
	out, err := publish(f, m, p)
	if err != nil {
		return nil, closing(fmt.Errorf("model: publish %s: %w", m.Name, err), f.files.Close)
	}
	return out, f.files.Close()
}

func publish(f *folder, m *Model, p *Params) (*Published, error) {
	weights, err := weightFiles(f.path)
	if err != nil {
		return nil, err
	}
	digest, err := weightDigest(weights)
	if err != nil {
		return nil, err
	}
	if digest != m.Digest || f.spec.Digest() != m.Spec.Digest() || p.spec.Digest() != m.Spec.Digest() {
		return nil, fmt.Errorf("%s no longer holds the model that was loaded from it; load it again", f.path)
	}
	out := &Published{Metadata: f.files.Metadata()}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	if out.Metadata["format"] == "" {
		out.Metadata["format"] = "pt" // which transformers asks for
	}
	used, changed := map[string]bool{}, map[string]matrix{} // by stored name
	for _, param := range f.spec.Params() {
		src := f.sources[param.Name]
		name, _ := f.find(src)
		stored := f.stored[name]
		used[stored] = true
		values, differs, err := changedValues(m.Params, p, param.Name)
		if err != nil {
			return nil, err
		}
		if !differs {
			continue
		}
		out.Changed = append(out.Changed, param.Name)
		dst, ok := changed[stored]
		if !ok {
			info, _ := f.files.Info(stored)
			data, err := f.files.Float32(stored)
			if err != nil {
				return nil, err
			}
			dst = matrix{data, info.Shape}
			changed[stored] = dst
		}
		if err := src.place(dst, values); err != nil {
			return nil, fmt.Errorf("parameter %s, tensor %s: %w", param.Name, stored, err)
		}
	}
	tied, err := f.tiedCopies(used, changed)
	if err != nil {
		return nil, err
	}
	for _, name := range f.files.Names() {
		of := name
		if twin, ok := tied[name]; ok {
			of = twin
		}
		if x, ok := changed[of]; ok {
			out.Tensors = append(out.Tensors, safetensors.F32(name, x.dims, x.data))
			continue
		}
		raw, err := f.files.Bytes(name)
		if err != nil {
			return nil, err
		}
		info, _ := f.files.Info(name)
		out.Tensors = append(out.Tensors, safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: bytes.Clone(raw)})
	}
	return out, nil
}

// changedValues returns a parameter's values in p and whether they differ from those in old.
func changedValues(old, p *Params, name string) ([]float32, bool, error) {
	if old.Get(name) == p.Get(name) {
		return nil, false, nil
	}
	a, err := old.Values(name)
	if err != nil {
		return nil, false, err
	}
	b, err := p.Values(name)
	return b, err == nil && !slices.Equal(a, b), err
}

// tiedCopies finds stored tensors that no parameter reads and that repeat a changed one: output embeddings written out beside
// tied input embeddings.
func (f *folder) tiedCopies(used map[string]bool, changed map[string]matrix) (map[string]string, error) {
	out := map[string]string{}
	for name, x := range changed {
		original, err := f.files.Bytes(name)
		if err != nil {
			return nil, err
		}
		for _, other := range f.files.Names() {
			if info, _ := f.files.Info(other); used[other] || !slices.Equal(info.Shape, x.dims) {
				continue
			}
			raw, err := f.files.Bytes(other)
			if err != nil {
				return nil, err
			}
			if bytes.Equal(raw, original) {
				out[other] = name
			}
		}
	}
	return out, nil
}

// place writes a parameter's values to where its transform takes them from in the stored tensor. Transforms only select and
// reorder, so they are inverted by applying them to each element's row and column: numbers that float32 holds exactly.
func (s source) place(dst matrix, values []float32) error {
	if s.transform == nil {
		if len(values) != len(dst.data) {
			return fmt.Errorf("%d values for shape %v", len(values), dst.dims)
		}
		copy(dst.data, values)
		return nil
	}
	rows := dst.dims[0]
	stride := len(dst.data) / max(rows, 1)
	if rows >= 1<<24 || stride >= 1<<24 {
		return fmt.Errorf("shape %v is too large", dst.dims)
	}
	row, col := matrix{make([]float32, len(dst.data)), dst.dims}, matrix{make([]float32, len(dst.data)), dst.dims}
	for i := range dst.data {
		row.data[i], col.data[i] = float32(i/stride), float32(i%stride)
	}
	row, err := s.transform(row)
	if err != nil {
		return err
	}
	if col, err = s.transform(col); err != nil {
		return err
	}
	if len(row.data) != len(values) {
		return fmt.Errorf("%d values for %d places", len(values), len(row.data))
	}
	for i, v := range values {
		dst.data[int(row.data[i])*stride+int(col.data[i])] = v
	}
	return nil
}
