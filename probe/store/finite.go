package store

import (
	"math"
	"unsafe"
)

// finite tells whether x has neither NaN nor infinity: no exponent field is all ones.
func finite(x []float32) bool {
	const exponents, carry, top = 0x7f8000007f800000, 0x0080000000800000, 0x8000000080000000
	if len(x) == 0 {
		return true
	}
	i := 0
	if uintptr(unsafe.Pointer(unsafe.SliceData(x)))%8 != 0 {
		if !isFinite(x[0]) {
			return false
		}
		i = 1
	}
	pairs := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(x[i:]))), (len(x)-i)/2)
	var a, b, c, d uint64
	j := 0
	for ; j+4 <= len(pairs); j += 4 {
		p := pairs[j : j+4 : j+4]
		a |= p[0]&exponents + carry // an exponent of all ones carries into the sign's place
		b |= p[1]&exponents + carry
		c |= p[2]&exponents + carry
		d |= p[3]&exponents + carry
	}
	if (a|b|c|d)&top != 0 {
		return false
	}
	for _, v := range x[i+2*j:] {
		if !isFinite(v) {
			return false
		}
	}
	return true
}

func isFinite(v float32) bool { return math.Float32bits(v)&0x7f800000 != 0x7f800000 }

func maxAbs(x []float32) float32 {
	m := uint32(0)
	for _, v := range x {
		m = max(m, math.Float32bits(v)&0x7fffffff)
	}
	return math.Float32frombits(m)
}
