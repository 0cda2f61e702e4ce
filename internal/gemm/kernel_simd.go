//go:build amd64 && goexperiment.simd

package gemm

import (
	"simd/archsimd"
	"unsafe"
)

var (
	hasAVX512 = archsimd.X86.AVX512()
	hasAVX2   = archsimd.X86.AVX2() && archsimd.X86.FMA()
)

func kernel(c []float64, stride int, a []float64, row, step int, b []float64, next, terms int) {
	switch {
	case terms == 0:
	case hasAVX512:
		kernel512(c, stride, a, row, step, b, next, terms)
	case hasAVX2:
		kernel256(c, stride, a, row, step, b, next, terms)
	default:
		kernelGeneric(c, stride, a, row, step, b, next, terms)
	}
}

// kernel512 is kernelGeneric with eight accumulators of eight values; it needs a term.
func kernel512(c []float64, stride int, a []float64, row, step int, b []float64, next, terms int) {
	_, _, _ = a[(tileRows-1)*row+(terms-1)*step], b[(terms-1)*next+BlockCols-1], c[(tileRows-1)*stride+BlockCols-1]
	firstA, firstB := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	row, step, next = 8*row, 8*step, 8*next
	var c00, c01, c10, c11, c20, c21, c30, c31 archsimd.Float64x8
	for ka, kb := 0, 0; terms > 0; ka, kb, terms = ka+step, kb+next, terms-1 {
		// from the first element each time: a pointer may not step past the end of its array
		pa, pb := unsafe.Add(firstA, ka), unsafe.Add(firstB, kb)
		b0 := archsimd.LoadFloat64x8((*[8]float64)(pb))
		b1 := archsimd.LoadFloat64x8((*[8]float64)(unsafe.Add(pb, 64)))
		x := archsimd.BroadcastFloat64x8(*(*float64)(pa))
		c00, c01 = x.MulAdd(b0, c00), x.MulAdd(b1, c01)
		x = archsimd.BroadcastFloat64x8(*(*float64)(unsafe.Add(pa, row)))
		c10, c11 = x.MulAdd(b0, c10), x.MulAdd(b1, c11)
		x = archsimd.BroadcastFloat64x8(*(*float64)(unsafe.Add(pa, 2*row)))
		c20, c21 = x.MulAdd(b0, c20), x.MulAdd(b1, c21)
		x = archsimd.BroadcastFloat64x8(*(*float64)(unsafe.Add(pa, 3*row)))
		c30, c31 = x.MulAdd(b0, c30), x.MulAdd(b1, c31)
	}
	addTo512(c, c00, c01)
	addTo512(c[stride:], c10, c11)
	addTo512(c[2*stride:], c20, c21)
	addTo512(c[3*stride:], c30, c31)
}

func addTo512(c []float64, x, y archsimd.Float64x8) {
	lo, hi := (*[8]float64)(c[:8]), (*[8]float64)(c[8:16])
	archsimd.LoadFloat64x8(lo).Add(x).Store(lo)
	archsimd.LoadFloat64x8(hi).Add(y).Store(hi)
}

// kernel256 is kernelGeneric in two halves of eight columns, with eight accumulators of four values; it needs a term.
func kernel256(c []float64, stride int, a []float64, row, step int, b []float64, next, terms int) {
	_, _, _ = a[(tileRows-1)*row+(terms-1)*step], b[(terms-1)*next+BlockCols-1], c[(tileRows-1)*stride+BlockCols-1]
	row, step, next = 8*row, 8*step, 8*next
	for half := 0; half < BlockCols; half += 8 {
		firstA, firstB := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(&b[half])
		var c00, c01, c10, c11, c20, c21, c30, c31 archsimd.Float64x4
		for ka, kb, k := 0, 0, terms; k > 0; ka, kb, k = ka+step, kb+next, k-1 {
			pa, pb := unsafe.Add(firstA, ka), unsafe.Add(firstB, kb)
			b0 := archsimd.LoadFloat64x4((*[4]float64)(pb))
			b1 := archsimd.LoadFloat64x4((*[4]float64)(unsafe.Add(pb, 32)))
			x := archsimd.BroadcastFloat64x4(*(*float64)(pa))
			c00, c01 = x.MulAdd(b0, c00), x.MulAdd(b1, c01)
			x = archsimd.BroadcastFloat64x4(*(*float64)(unsafe.Add(pa, row)))
			c10, c11 = x.MulAdd(b0, c10), x.MulAdd(b1, c11)
			x = archsimd.BroadcastFloat64x4(*(*float64)(unsafe.Add(pa, 2*row)))
			c20, c21 = x.MulAdd(b0, c20), x.MulAdd(b1, c21)
			x = archsimd.BroadcastFloat64x4(*(*float64)(unsafe.Add(pa, 3*row)))
			c30, c31 = x.MulAdd(b0, c30), x.MulAdd(b1, c31)
		}
		addTo256(c[half:], c00, c01)
		addTo256(c[stride+half:], c10, c11)
		addTo256(c[2*stride+half:], c20, c21)
		addTo256(c[3*stride+half:], c30, c31)
	}
}

func addTo256(c []float64, x, y archsimd.Float64x4) {
	lo, hi := (*[4]float64)(c[:4]), (*[4]float64)(c[4:8])
	archsimd.LoadFloat64x4(lo).Add(x).Store(lo)
	archsimd.LoadFloat64x4(hi).Add(y).Store(hi)
}
