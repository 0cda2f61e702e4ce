package npy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"loupe/internal/atomicfile"
)

// F32 makes a float32 array. values has the product of shape elements; it is copied.
func F32(shape []int, values []float32) *Array {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return &Array{DType: "f4", Shape: shape, Data: data}
}

// F64 makes a float64 array. values has the product of shape elements; it is copied.
func F64(shape []int, values []float64) *Array {
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	return &Array{DType: "f8", Shape: shape, Data: data}
}

// I32 makes an int32 array. values has the product of shape elements; it is copied.
func I32(shape []int, values []int32) *Array {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, uint32(v))
	}
	return &Array{DType: "i4", Shape: shape, Data: data}
}

// I64 makes an int64 array. values has the product of shape elements; it is copied.
func I64(shape []int, values []int64) *Array {
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, uint64(v))
	}
	return &Array{DType: "i8", Shape: shape, Data: data}
}

// Write writes an array to path in C order, replacing the file atomically. The bytes are those that numpy.save writes.
func Write(path string, a *Array) error {
	head, err := encodeHeader(a)
	if err != nil {
		return fmt.Errorf("npy: %s was not written: %w", path, err)
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		_, err := w.Write(a.Data)
		return err
	})
	if err != nil {
		return fmt.Errorf("npy: write %s: %w; check that the folder exists, is writable and has room", path, err)
	}
	return nil
}

// encodeHeader checks the array and returns everything before the values, in version 1.0, padded so that the values
// start at a multiple of 64 bytes.
func encodeHeader(a *Array) ([]byte, error) {
	order := "<"
	if strings.HasSuffix(a.DType, "1") {
		order = "|" // one byte has no order
	}
	for _, d := range a.Shape {
		if d < 0 {
			return nil, fmt.Errorf("shape %v has a negative dimension", a.Shape)
		}
	}
	h := header{shape: a.Shape, len: 1}
	if err := h.measure(order + a.DType); err != nil {
		return nil, err
	}
	if h.len*h.size != len(a.Data) {
		return nil, fmt.Errorf("%s of shape %v needs %d bytes, but there are %d; give one value for each element", a.DType, a.Shape, h.len*h.size, len(a.Data))
	}
	dict := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': %s, }", order, a.DType, tuple(a.Shape))
	// NumPy leaves room for the first dimension to grow to 21 digits, so that a file can be extended in place.
	if len(a.Shape) > 0 {
		dict += strings.Repeat(" ", max(0, 21-len(fmt.Sprint(a.Shape[0]))))
	}
	// Before the values come magic, version and length (10 bytes), dict, 1 to 64 spaces and the newline. 64 dimensions
	// of 20 digits are far below the 65,535 bytes that version 1.0 has room for.
	dict += strings.Repeat(" ", 64-(len(magic)+4+len(dict)+1)%64) + "\n"
	head := append([]byte(magic), 1, 0)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(dict)))
	return append(head, dict...), nil
}

// tuple writes a shape as Python does: (), (3,), (2, 3).
func tuple(shape []int) string {
	var b strings.Builder
	for i, d := range shape {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, d)
	}
	if len(shape) == 1 {
		b.WriteByte(',')
	}
	return "(" + b.String() + ")"
}
