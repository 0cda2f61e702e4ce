package gguf

import (
	"errors"
	"fmt"
	"slices"

	lib "github.com/gomlx/go-huggingface/models/gguf"

	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"

	"loupe/internal/mmap"
)

// Tensor describes one tensor of a file.
type Tensor struct {
	Name  string
	Shape []int  // row-major, the reverse of the order in the file
	Type  string // ggml's name of the storage type, such as "F32" or "Q4_1"
}

// File is an open GGUF file. Its methods may be called from several goroutines at once, but not while Close runs.
type File struct {
	path    string
	parsed  *lib.File
	reader  *lib.Reader
	entries []entry        // in the order of the file's list
	byName  map[string]int // index into entries
}

// Open checks and parses the header of the file at path. The caller must Close it.
func Open(path string) (*File, error) {
	entries, err := scanFile(path)
	if err != nil {
		return nil, err
	}
	parsed, err := lib.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: %w; get the file again", path, err)
	}
	restoreOrder(parsed, entries)
	reader, err := lib.NewReader(parsed)
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: %w; make the file readable", path, err)
	}
	f := &File{path: path, parsed: parsed, reader: reader, entries: entries, byName: map[string]int{}}
	for i, e := range entries {
		f.byName[e.Name] = i
	}
	return f, nil
}

// restoreOrder puts the library's list of tensors back into the order of the file. The library (v0.4.0) sorts the list
// by offset after it has taken pointers into it by name, so that in a file whose offsets do not ascend a name would
// lead to another tensor's data.
func restoreOrder(parsed *lib.File, entries []entry) {
	place := make(map[string]int, len(entries))
	for i, e := range entries {
		place[e.Name] = i
	}
	slices.SortFunc(parsed.TensorInfos, func(a, b lib.TensorInfo) int { return place[a.Name] - place[b.Name] })
}

// scanFile maps the file for the time of the check.
func scanFile(path string) ([]entry, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w; give the path of a readable .gguf file", err)
	}
	entries, err := scan(m.Bytes())
	if err != nil {
		err = fmt.Errorf("gguf: %s is damaged, cut short or of another format: %w; get the file again", path, err)
	}
	return entries, errors.Join(err, m.Close())
}

// Path returns the path that the file was opened by.
func (f *File) Path() string { return f.path }

// Tensors lists the tensors in the order of the file.
func (f *File) Tensors() []Tensor {
	tensors := make([]Tensor, len(f.entries))
	for i, e := range f.entries {
		tensors[i] = e.clone()
	}
	return tensors
}

// Tensor describes the tensor called name; ok is false when there is none.
func (f *File) Tensor(name string) (t Tensor, ok bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.entries[i].clone(), true
}

func (t Tensor) clone() Tensor {
	t.Shape = slices.Clone(t.Shape)
	return t
}

// Float32 returns the values of a tensor, dequantised, row-major, as a new slice. F32, F16 and BF16 are exact, F64 is
// rounded to nearest; Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 and Q2_K to Q6_K are scale*q(+min) in float32. Other types are an error.
func (f *File) Float32(name string) ([]float32, error) {
	i, ok := f.byName[name]
	if !ok {
		return nil, fmt.Errorf("gguf: %s has no tensor %q; it has %d tensors, the first is %q", f.path, name, len(f.entries), f.first())
	}
	e := f.entries[i]
	if !readable(e.kind) {
		return nil, fmt.Errorf("gguf: tensor %q of %s has the type %s, which cannot be read; use a file in F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or Q2_K to Q6_K",
			name, f.path, e.Type)
	}
	values, err := f.read(name)
	if err == nil && len(values) != e.len {
		err = fmt.Errorf("%d values were read, not %d", len(values), e.len)
	}
	if err != nil {
		return nil, fmt.Errorf("gguf: tensor %q of %s: %w; open the file again, and do not change it meanwhile", name, f.path, err)
	}
	return values, nil
}

// read has the library read and dequantise a tensor into Go memory. Nothing else refers to that memory, so its slice
// may outlive the tensor.
func (f *File) read(name string) (values []float32, err error) {
	t, err := f.reader.ReadTensor(nil, name)
	if err != nil {
		return nil, err
	}
	accessErr := t.ConstFlatData(func(flat any) { values, err = floats(flat) })
	return values, errors.Join(accessErr, err)
}

// readable tells whether Float32 can read a storage type.
func readable(kind lib.TensorType) bool {
	switch kind {
	case lib.TensorTypeF32, lib.TensorTypeF16, lib.TensorTypeBF16, lib.TensorTypeF64,
		lib.TensorTypeQ4_0, lib.TensorTypeQ4_1, lib.TensorTypeQ5_0, lib.TensorTypeQ5_1, lib.TensorTypeQ8_0,
		lib.TensorTypeQ2_K, lib.TensorTypeQ3_K, lib.TensorTypeQ4_K, lib.TensorTypeQ5_K, lib.TensorTypeQ6_K:
		return true
	}
	return false
}

// floats converts the values of a tensor as the library delivers them.
func floats(flat any) ([]float32, error) {
	switch v := flat.(type) {
	case []float32:
		return v, nil
	case []float16.Float16:
		return convert(v, float16.Float16.Float32), nil
	case []bfloat16.BFloat16:
		return convert(v, bfloat16.BFloat16.Float32), nil
	case []float64:
		return convert(v, func(x float64) float32 { return float32(x) }), nil
	}
	return nil, fmt.Errorf("values of type %T", flat)
}

func convert[T any](from []T, one func(T) float32) []float32 {
	to := make([]float32, len(from))
	for i, v := range from {
		to[i] = one(v)
	}
	return to
}

func (f *File) first() string {
	if len(f.entries) == 0 {
		return ""
	}
	return f.entries[0].Name
}

// Close closes the file. Tensors cannot be read afterwards; metadata can.
func (f *File) Close() error { return f.reader.Close() }
