package npy

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes/float16"
)

// Array is an array that was read.
type Array struct {
	DType string // NumPy's kind and size: f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1
	Shape []int  // empty for a scalar
	Data  []byte // little-endian, C order

	source string // the file, and the member of an archive, for messages
}

// Len returns the number of values.
func (a *Array) Len() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}

// Float32s returns the values of a floating-point array as a new slice; f8 is rounded to nearest even.
func (a *Array) Float32s() ([]float32, error) {
	le := binary.LittleEndian
	switch a.DType {
	case "f4":
		return decode(a.Data, 4, func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }), nil
	case "f2":
		return decode(a.Data, 2, func(b []byte) float32 { return float16.FromBits(le.Uint16(b)).Float32() }), nil
	case "f8":
		return decode(a.Data, 8, func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }), nil
	}
	return nil, fmt.Errorf("npy: %s holds %s, no floating-point type; read it with Int64s", a.where(), a.DType)
}

// Float64s returns the values of a floating-point array, exactly, as a new slice.
func (a *Array) Float64s() ([]float64, error) {
	if a.DType == "f8" {
		return decode(a.Data, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }), nil
	}
	narrow, err := a.Float32s()
	if err != nil {
		return nil, err
	}
	wide := make([]float64, len(narrow))
	for i, v := range narrow {
		wide[i] = float64(v)
	}
	return wide, nil
}

// Int64s returns the values of an integer or boolean array as a new slice; a u8 beyond int64 is an error.
func (a *Array) Int64s() ([]int64, error) {
	le := binary.LittleEndian
	switch a.DType {
	case "i8":
		return decode(a.Data, 8, func(b []byte) int64 { return int64(le.Uint64(b)) }), nil
	case "i4":
		return decode(a.Data, 4, func(b []byte) int64 { return int64(int32(le.Uint32(b))) }), nil
	case "i2":
		return decode(a.Data, 2, func(b []byte) int64 { return int64(int16(le.Uint16(b))) }), nil
	case "i1":
		return decode(a.Data, 1, func(b []byte) int64 { return int64(int8(b[0])) }), nil
	case "u8":
		values := decode(a.Data, 8, func(b []byte) int64 { return int64(le.Uint64(b)) })
		for i, v := range values {
			if v < 0 {
				return nil, fmt.Errorf("npy: %s: value %d is %d, beyond int64; save the array as int64", a.where(), i, uint64(v))
			}
		}
		return values, nil
	case "u4":
		return decode(a.Data, 4, func(b []byte) int64 { return int64(le.Uint32(b)) }), nil
	case "u2":
		return decode(a.Data, 2, func(b []byte) int64 { return int64(le.Uint16(b)) }), nil
	case "u1":
		return decode(a.Data, 1, func(b []byte) int64 { return int64(b[0]) }), nil
	case "b1":
		return decode(a.Data, 1, func(b []byte) int64 { return int64(min(b[0], 1)) }), nil
	}
	return nil, fmt.Errorf("npy: %s holds %s, no integer type; read it with Float64s", a.where(), a.DType)
}

// where names the array in messages.
func (a *Array) where() string {
	if a.source == "" {
		return "an array in memory"
	}
	return a.source
}

// decode applies get to each run of size bytes.
func decode[T any](b []byte, size int, get func([]byte) T) []T {
	values := make([]T, len(b)/size)
	for i := range values {
		values[i] = get(b[i*size : i*size+size])
	}
	return values
}
