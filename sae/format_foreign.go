package sae

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"loupe/internal/npy"
	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

const maxConfig = 1 << 20 // bytes of a foreign configuration file

// foreign are the tensors of another tool's file, each to be used exactly once.
type foreign struct {
	shapes map[string][]int
	read   func(name string) ([]float32, error)
	ints   func(name string) ([]int64, error) // nil: none are read
	used   map[string]bool
}

func foreignSafetensors(f *safetensors.File) *foreign {
	t := &foreign{shapes: map[string][]int{}, used: map[string]bool{}, read: f.Float32, ints: f.Int64}
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		t.shapes[name] = info.Shape
	}
	return t
}

func foreignTorch(tensors map[string]*torchzip.Tensor) *foreign {
	t := &foreign{shapes: map[string][]int{}, used: map[string]bool{}}
	for name, tensor := range tensors {
		t.shapes[name] = tensor.Shape
	}
	t.read = func(name string) ([]float32, error) { return tensors[name].Float32s() }
	t.ints = func(name string) ([]int64, error) { return tensors[name].Int64s() }
	return t
}

func foreignArchive(arrays map[string]*npy.Array) *foreign {
	t := &foreign{shapes: map[string][]int{}, used: map[string]bool{}}
	for name, a := range arrays {
		t.shapes[name] = a.Shape
	}
	t.read = func(name string) ([]float32, error) { return arrays[name].Float32s() }
	return t
}

func (t *foreign) names() string {
	return strings.Join(slices.Sorted(maps.Keys(t.shapes)), ", ")
}

// matrix returns the two sizes of a matrix.
func (t *foreign) matrix(name string) (rows, cols int, err error) {
	shape, ok := t.shapes[name]
	if !ok {
		return 0, 0, fmt.Errorf("tensor %s is missing; the file has %s", name, t.names())
	}
	if len(shape) != 2 {
		return 0, 0, fmt.Errorf("tensor %s has shape %v, want a matrix", name, shape)
	}
	return shape[0], shape[1], nil
}

// floats returns a tensor of a given shape.
func (t *foreign) floats(name string, shape ...int) ([]float32, error) {
	got, ok := t.shapes[name]
	if !ok {
		return nil, fmt.Errorf("tensor %s is missing; the file has %s", name, t.names())
	}
	if !slices.Equal(got, shape) {
		return nil, fmt.Errorf("tensor %s has shape %v, want %v", name, got, shape)
	}
	t.used[name] = true
	v, err := t.read(name)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	if i := firstNonFinite(v); i >= 0 {
		return nil, fmt.Errorf("element %d of tensor %s is %v: %w", i, name, v[i], ErrNonFinite)
	}
	return v, nil
}

// integer returns a tensor of one whole number.
func (t *foreign) integer(name string) (int64, error) {
	t.used[name] = true
	v, err := t.ints(name)
	if err != nil {
		return 0, fmt.Errorf("tensor %s: %w", name, err)
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("tensor %s has shape %v, want one number", name, t.shapes[name])
	}
	return v[0], nil
}

// cube returns the three sizes of a tensor.
func (t *foreign) cube(name string) (a, b, c int, err error) {
	shape, ok := t.shapes[name]
	if !ok {
		return 0, 0, 0, fmt.Errorf("tensor %s is missing; the file has %s", name, t.names())
	}
	if len(shape) != 3 {
		return 0, 0, 0, fmt.Errorf("tensor %s has shape %v, want three axes", name, shape)
	}
	return shape[0], shape[1], shape[2], nil
}

// transposed returns the transpose of the matrix called name, which is [rows, cols].
func (t *foreign) transposed(name string, rows, cols int) ([]float32, error) {
	v, err := t.floats(name, rows, cols)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(v))
	transpose(out, v, rows, cols)
	return out, nil
}

// load reads several tensors into their places.
func (t *foreign) load(places ...place) error {
	for _, p := range places {
		var err error
		if p.turn {
			*p.at, err = t.transposed(p.name, p.shape[0], p.shape[1])
		} else {
			*p.at, err = t.floats(p.name, p.shape...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// place is where a tensor of the file goes; with turn it is stored transposed there.
type place struct {
	at    *[]float32
	name  string
	shape []int // in the file
	turn  bool
}

// rest refuses tensors that nothing used: they would change what the file's own tool computes.
func (t *foreign) rest(ignored ...string) error {
	for _, name := range slices.Sorted(maps.Keys(t.shapes)) {
		if !t.used[name] && !slices.Contains(ignored, name) {
			return fmt.Errorf("tensor %s is not one of this kind of SAE; the configuration and the weights do not belong together", name)
		}
	}
	return nil
}

// readConfig reads a JSON object of bounded size.
func readConfig(path string) (map[string]any, error) {
	raw, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readBounded reads a configuration file of bounded size.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%s has %d bytes, above the limit of %d; it is no configuration", path, info.Size(), maxConfig)
	}
	return os.ReadFile(path)
}

// decodeConfig moves a JSON object into a struct.
func decodeConfig(from map[string]any, into any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// turned returns the transpose of m, [rows, cols].
func turned(m []float32, rows, cols int) []float32 {
	out := make([]float32, len(m))
	transpose(out, m, rows, cols)
	return out
}
