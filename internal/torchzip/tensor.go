package torchzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes/float16"
)

const maxRank = 64

// Tensor is a view of a storage.
type Tensor struct {
	DType string // F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL
	Shape []int  // empty for a scalar

	data   []byte // the storage from the tensor's first element on
	stride []int  // elements between neighbours along each axis
}

// sizeOf returns the bytes of an element.
func sizeOf(dtype string) int {
	switch dtype {
	case "F64", "I64":
		return 8
	case "F32", "I32":
		return 4
	case "F16", "BF16", "I16":
		return 2
	}
	return 1
}

// rebuild makes a tensor of (storage, offset, sizes, strides, ...). Every element lies inside the storage, and no more
// elements than it has are named, so that the tensor's bytes are bounded by the file's.
func rebuild(args Tuple) (*Tensor, error) {
	s, ok := args[0].(storage)
	offset, isInt := args[1].(int64)
	if !ok || !isInt {
		return nil, fmt.Errorf("want a storage and an offset, have a %s and a %s", kindOf(args[0]), kindOf(args[1]))
	}
	shape, err := sizes(args[2])
	if err != nil {
		return nil, err
	}
	stride, err := sizes(args[3])
	if err != nil {
		return nil, err
	}
	if len(shape) != len(stride) || len(shape) > maxRank {
		return nil, fmt.Errorf("%d sizes and %d strides; want as many, at most %d", len(shape), len(stride), maxRank)
	}
	size := sizeOf(s.dtype)
	count := len(s.data) / size
	t := &Tensor{DType: s.dtype, Shape: shape, stride: stride}
	if offset < 0 || offset > int64(count) {
		return nil, fmt.Errorf("offset %d in a storage of %d elements", offset, count)
	}
	t.data = s.data[int(offset)*size:]
	if slices.Contains(shape, 0) {
		return t, nil
	}
	elements, last := 1, int(offset)
	for axis, d := range shape {
		if d > count/elements {
			return nil, fmt.Errorf("shape %v has more elements than its storage, %d; save a contiguous copy", shape, count)
		}
		elements *= d
		if d > 1 && stride[axis] > (count-1-last)/(d-1) {
			return nil, fmt.Errorf("shape %v with strides %v and offset %d passes the end of its storage of %d elements", shape, stride, offset, count)
		}
		last += (d - 1) * stride[axis]
	}
	if last >= count {
		return nil, fmt.Errorf("offset %d passes the end of a storage of %d elements", offset, count)
	}
	return t, nil
}

// sizes reads a tuple of integers that are not negative.
func sizes(v any) ([]int, error) {
	items, ok := v.(Tuple)
	if !ok {
		return nil, fmt.Errorf("sizes are a %s, want a tuple", kindOf(v))
	}
	out := make([]int, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok || n < 0 || n > math.MaxInt {
			return nil, fmt.Errorf("size %d of %d is %v; want an integer from 0", i, len(items), item)
		}
		out[i] = int(n)
	}
	return out, nil
}

// Len returns the number of elements.
func (t *Tensor) Len() int {
	if slices.Contains(t.Shape, 0) {
		return 0
	}
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes returns the elements row-major, little-endian: a view into the file where they lie so, else a copy.
func (t *Tensor) Bytes() []byte {
	size, n := sizeOf(t.DType), t.Len()
	if t.contiguous() {
		return t.data[:n*size]
	}
	out := make([]byte, 0, n*size)
	index := make([]int, len(t.Shape))
	for at := 0; len(out) < n*size; {
		out = append(out, t.data[at*size:(at+1)*size]...)
		for axis := len(t.Shape) - 1; axis >= 0; axis-- {
			index[axis]++
			at += t.stride[axis]
			if index[axis] < t.Shape[axis] {
				break
			}
			at -= index[axis] * t.stride[axis]
			index[axis] = 0
		}
	}
	return out
}

// contiguous tells whether the elements lie row-major without gaps.
func (t *Tensor) contiguous() bool {
	if t.Len() == 0 {
		return true
	}
	want := 1
	for axis, d := range slices.Backward(t.Shape) {
		if d > 1 && t.stride[axis] != want {
			return false
		}
		want *= d
	}
	return true
}

// Float32s returns the elements row-major; F64 is rounded to the nearest float32. Integers are an error.
func (t *Tensor) Float32s() ([]float32, error) {
	b, le := t.Bytes(), binary.LittleEndian
	out := make([]float32, t.Len())
	switch t.DType {
	case "F32":
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	case "F64":
		for i := range out {
			out[i] = float32(math.Float64frombits(le.Uint64(b[8*i:])))
		}
	case "F16":
		for i := range out {
			out[i] = float16.FromBits(le.Uint16(b[2*i:])).Float32()
		}
	case "BF16":
		for i := range out {
			out[i] = math.Float32frombits(uint32(le.Uint16(b[2*i:])) << 16)
		}
	default:
		return nil, fmt.Errorf("torchzip: a tensor of %s is not floating point; read it with Int64s", t.DType)
	}
	return out, nil
}

// Int64s returns the elements of a tensor of integers or bools, row-major.
func (t *Tensor) Int64s() ([]int64, error) {
	b, le := t.Bytes(), binary.LittleEndian
	out := make([]int64, t.Len())
	switch t.DType {
	case "I64":
		for i := range out {
			out[i] = int64(le.Uint64(b[8*i:]))
		}
	case "I32":
		for i := range out {
			out[i] = int64(int32(le.Uint32(b[4*i:])))
		}
	case "I16":
		for i := range out {
			out[i] = int64(int16(le.Uint16(b[2*i:])))
		}
	case "I8":
		for i := range out {
			out[i] = int64(int8(b[i]))
		}
	case "U8":
		for i := range out {
			out[i] = int64(b[i])
		}
	case "BOOL":
		for i := range out {
			if b[i] != 0 {
				out[i] = 1
			}
		}
	default:
		return nil, fmt.Errorf("torchzip: a tensor of %s is no tensor of integers; read it with Float32s", t.DType)
	}
	return out, nil
}

// Int64 returns the one element of a tensor of integers.
func (t *Tensor) Int64() (int64, error) {
	v, err := t.Int64s()
	if err == nil && len(v) != 1 {
		err = errors.New("torchzip: a tensor of several elements is read as one")
	}
	if err != nil {
		return 0, err
	}
	return v[0], nil
}
