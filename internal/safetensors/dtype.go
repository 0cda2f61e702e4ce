package safetensors

import (
	"fmt"
	"math"
	"slices"
)

// dtype is an element type of the format.
type dtype struct {
	name string
	size int // bytes of one element
}

// dtypes lists the known element types in the order of the reference implementation, whose writer places tensors by
// descending position in it: wide types come first, so that every tensor is aligned for its own type.
func dtypes() []dtype {
	return []dtype{
		{"BOOL", 1}, {"U8", 1}, {"I8", 1},
		{"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"F8_E4M3FNUZ", 1}, {"F8_E5M2FNUZ", 1},
		{"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2},
		{"I32", 4}, {"U32", 4}, {"F32", 4},
		{"C64", 8}, {"F64", 8}, {"I64", 8}, {"U64", 8},
	}
}

// dtypeRank returns the position of a type in dtypes, or -1.
func dtypeRank(name string) int {
	return slices.IndexFunc(dtypes(), func(d dtype) bool { return d.name == name })
}

// dtypeSize returns the bytes of one element.
func dtypeSize(name string) (int, error) {
	rank := dtypeRank(name)
	if rank < 0 {
		return 0, fmt.Errorf("unknown dtype %q; known are %s", name, dtypeNames())
	}
	return dtypes()[rank].size, nil
}

func dtypeNames() string {
	names := ""
	for i, d := range dtypes() {
		if i > 0 {
			names += " "
		}
		names += d.name
	}
	return names
}

// byteSize returns the bytes of a tensor. The product of the dimensions, with zeros counted as ones, must fit in an
// int, so that no later product of some of them overflows.
func byteSize(dtypeName string, shape []int) (int, error) {
	size, err := dtypeSize(dtypeName)
	if err != nil {
		return 0, err
	}
	empty := false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		case d == 0:
			empty = true
		case size > math.MaxInt/d:
			return 0, fmt.Errorf("shape %v of %s has more bytes than the address space", shape, dtypeName)
		default:
			size *= d
		}
	}
	if empty {
		return 0, nil
	}
	return size, nil
}
