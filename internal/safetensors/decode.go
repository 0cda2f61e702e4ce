package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"github.com/gomlx/compute/dtypes/float16"
)

// float32s decodes a tensor of a floating type; F64 is rounded to the nearest float32, ties to even.
func float32s(dtype string, b []byte) ([]float32, error) {
	le := binary.LittleEndian
	switch dtype {
	case "F32":
		return copyFloat32s(b), nil
	case "F16":
		return decode(b, 2, func(b []byte) float32 { return float16.FromBits(le.Uint16(b)).Float32() }), nil
	case "BF16": // published weights are mostly of this type: no call for each element
		values := make([]float32, len(b)/2)
		for i := range values {
			values[i] = math.Float32frombits(uint32(le.Uint16(b[2*i:])) << 16)
		}
		return values, nil
	case "F64":
		return decode(b, 8, func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }), nil
	}
	return nil, fmt.Errorf("%s cannot be read as floating point (F32, F16, BF16 and F64 can); %s", dtype, cure(dtype))
}

// float64s decodes a tensor of a floating type exactly.
func float64s(dtype string, b []byte) ([]float64, error) {
	if dtype == "F64" {
		return decode(b, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }), nil
	}
	narrow, err := float32s(dtype, b)
	if err != nil {
		return nil, err
	}
	wide := make([]float64, len(narrow))
	for i, v := range narrow {
		wide[i] = float64(v)
	}
	return wide, nil
}

// int64s decodes a tensor of an integer type or BOOL (any byte but 0 is 1).
func int64s(dtype string, b []byte) ([]int64, error) {
	le := binary.LittleEndian
	switch dtype {
	case "I64":
		return decode(b, 8, func(b []byte) int64 { return int64(le.Uint64(b)) }), nil
	case "I32":
		return decode(b, 4, func(b []byte) int64 { return int64(int32(le.Uint32(b))) }), nil
	case "I16":
		return decode(b, 2, func(b []byte) int64 { return int64(int16(le.Uint16(b))) }), nil
	case "I8":
		return decode(b, 1, func(b []byte) int64 { return int64(int8(b[0])) }), nil
	case "U64":
		values := decode(b, 8, func(b []byte) int64 { return int64(le.Uint64(b)) })
		for i, v := range values {
			if v < 0 {
				return nil, fmt.Errorf("element %d is %d, beyond int64; store it as I64 or F64", i, uint64(v))
			}
		}
		return values, nil
	case "U32":
		return decode(b, 4, func(b []byte) int64 { return int64(le.Uint32(b)) }), nil
	case "U16":
		return decode(b, 2, func(b []byte) int64 { return int64(le.Uint16(b)) }), nil
	case "U8":
		return decode(b, 1, func(b []byte) int64 { return int64(b[0]) }), nil
	case "BOOL":
		return decode(b, 1, func(b []byte) int64 {
			if b[0] != 0 {
				return 1
			}
			return 0
		}), nil
	}
	return nil, fmt.Errorf("%s cannot be read as integers (I8 to I64, U8 to U64 and BOOL can); %s", dtype, cure(dtype))
}

// cure tells how to get at a tensor whose type a reader refuses.
func cure(dtype string) string {
	switch dtype {
	case "F32", "F16", "BF16", "F64":
		return "read it with Float32 or Float64"
	case "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL":
		return "read it with Int64"
	}
	return "convert it to BF16 or F32 first, or read its Bytes"
}

// copyFloat32s copies little-endian floats, at any address, into a new slice, which is 1.7 times as fast as a loop.
func copyFloat32s(b []byte) []float32 {
	values := make([]float32, len(b)/4)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values)), b)
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 { // a big-endian machine
		for i, v := range values {
			values[i] = math.Float32frombits(bits.ReverseBytes32(math.Float32bits(v)))
		}
	}
	return values
}

// decode applies get to each run of size bytes.
func decode[T any](b []byte, size int, get func([]byte) T) []T {
	values := make([]T, len(b)/size)
	for i := range values {
		values[i] = get(b[i*size : i*size+size])
	}
	return values
}
