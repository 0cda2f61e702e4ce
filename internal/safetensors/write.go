package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"loupe/internal/atomicfile"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	DType string // such as "F32"
	Shape []int  // row-major; empty for a scalar
	Data  []byte // little-endian; the product of Shape times the size of DType
}

// F32 makes a tensor of 32-bit floats. values has the product of shape elements; it is copied.
func F32(name string, shape []int, values []float32) Tensor {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return Tensor{Name: name, DType: "F32", Shape: shape, Data: data}
}

// F64 makes a tensor of 64-bit floats. values has the product of shape elements; it is copied.
func F64(name string, shape []int, values []float64) Tensor {
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	return Tensor{Name: name, DType: "F64", Shape: shape, Data: data}
}

// I32 makes a tensor of 32-bit integers. values has the product of shape elements; it is copied.
func I32(name string, shape []int, values []int32) Tensor {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, uint32(v))
	}
	return Tensor{Name: name, DType: "I32", Shape: shape, Data: data}
}

// I64 makes a tensor of 64-bit integers. values has the product of shape elements; it is copied.
func I64(name string, shape []int, values []int64) Tensor {
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, uint64(v))
	}
	return Tensor{Name: name, DType: "I64", Shape: shape, Data: data}
}

// Bool makes a tensor of truth values, a byte each. values has the product of shape elements; it is copied.
func Bool(name string, shape []int, values []bool) Tensor {
	data := make([]byte, len(values))
	for i, v := range values {
		if v {
			data[i] = 1
		}
	}
	return Tensor{Name: name, DType: "BOOL", Shape: shape, Data: data}
}

// Write writes the tensors, and metadata if it is not empty, to path, replacing it atomically. Equal input gives
// equal bytes, whatever the order of tensors: wide types come first and then names in byte order (the order of the
// reference implementation), metadata keys are sorted, and the data part starts at a multiple of 8 bytes.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	order := slices.Clone(tensors)
	slices.SortFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(dtypeRank(b.DType), dtypeRank(a.DType)), cmp.Compare(a.Name, b.Name))
	})
	head, err := encodeHeader(order, metadata)
	if err != nil {
		return fmt.Errorf("safetensors: %s was not written: %w", path, err)
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		for _, t := range order {
			if _, err := w.Write(t.Data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w; check that the folder exists, is writable and has room", path, err)
	}
	return nil
}

// encodeHeader checks the tensors and returns the length and the JSON, padded with spaces.
func encodeHeader(order []Tensor, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8)) // the length, set below
	b.WriteByte('{')
	if len(metadata) > 0 {
		if err := appendMetadata(&b, metadata); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{metadataKey: true}
	at := 0
	for _, t := range order {
		if err := check(t, seen); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		seen[t.Name] = true
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		if err := appendInfo(&b, t, at); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		at += len(t.Data)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("the header has %d bytes, more than the format's limit of %d; write fewer tensors to one file", b.Len()-8, maxHeader)
	}
	head := b.Bytes()
	binary.LittleEndian.PutUint64(head, uint64(len(head)-8))
	return head, nil
}

func appendMetadata(b *bytes.Buffer, metadata map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
			return fmt.Errorf("metadata %q is not valid UTF-8; encode it first", key)
		}
	}
	if err := appendJSON(b, metadataKey); err != nil {
		return err
	}
	b.WriteByte(':')
	return appendJSON(b, metadata) // sorts the keys
}

func appendInfo(b *bytes.Buffer, t Tensor, at int) error {
	if err := appendJSON(b, t.Name); err != nil {
		return err
	}
	b.WriteByte(':')
	shape := t.Shape
	if shape == nil {
		shape = []int{}
	}
	return appendJSON(b, struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}{t.DType, shape, [2]int{at, at + len(t.Data)}})
}

// appendJSON appends value without the HTML escapes and the newline that encoding/json adds.
func appendJSON(b *bytes.Buffer, value any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}

// check refuses a tensor that a reader would refuse.
func check(t Tensor, seen map[string]bool) error {
	switch {
	case t.Name == metadataKey:
		return errors.New("the format reserves this name; choose another")
	case !utf8.ValidString(t.Name):
		return errors.New("the name is not valid UTF-8; choose another")
	case seen[t.Name]:
		return errors.New("the name appears twice; names must differ")
	}
	size, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if size != len(t.Data) {
		return fmt.Errorf("%s of shape %v needs %d bytes, but there are %d; give one value for each element", t.DType, t.Shape, size, len(t.Data))
	}
	return nil
}
