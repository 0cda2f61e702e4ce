package store

import "math"

// maxHalf is the greatest finite float16; what rounds above it does not fit.
const maxHalf = 65504

// toHalf converts x to the nearest float16, ties to even. ok is false when x is not finite or rounds beyond maxHalf.
func toHalf(x float32) (h uint16, ok bool) {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b >= 0x477ff000: // 65520, half way to 2^16
		return sign | 0x7c00, false
	case b < 0x38800000: // below 2^-14: adding 1/2 rounds to units of 2^-24
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000), true
	}
	return sign | uint16((b-0x38000000+0xfff+b>>13&1)>>13), true
}

// fromHalf converts finite float16 values to float32 and multiplies them by scale.
func fromHalf(dst []float32, src []uint16, scale float32) {
	// A half's fields shifted into a float32's place mean the value times 2^-112.
	m := scale * 0x1p112
	dst = dst[:len(src)]
	for i, h := range src {
		v := math.Float32frombits(uint32(h&0x7fff)<<13) * m
		dst[i] = math.Float32frombits(math.Float32bits(v) | uint32(h&0x8000)<<16)
	}
}

// halfFinite tells whether all float16 values are finite.
func halfFinite(v []uint16) bool {
	for _, h := range v {
		if h&0x7c00 == 0x7c00 {
			return false
		}
	}
	return true
}

// chooseScale returns the power of two that brings values of magnitude up to maxAbs to at most 4096, so that later
// values may be sixteen times as large and still fit.
func chooseScale(maxAbs float32) float32 {
	if maxAbs == 0 {
		return 1
	}
	_, e := math.Frexp(float64(maxAbs)) // maxAbs < 2^e
	return float32(math.Ldexp(1, max(e-12, -100)))
}
