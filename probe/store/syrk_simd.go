//go:build amd64 && goexperiment.simd

package store

import (
	"simd/archsimd"
	"unsafe"
)

var (
	hasAVX512 = archsimd.X86.AVX512()
	hasAVX2   = archsimd.X86.AVX2() && archsimd.X86.FMA()
)

func kernel(c []float64, stride int, a, b []float64, rows int) {
	switch {
	case hasAVX512:
		kernel512(c, stride, a, b, rows)
	case hasAVX2:
		kernel256(c, stride, a, b, rows)
	default:
		kernelGeneric(c, stride, a, b, rows)
	}
}

// kernel512 is kernelGeneric with eight accumulators of eight values.
func kernel512(c []float64, stride int, a, b []float64, rows int) {
	if rows == 0 {
		return
	}
	_, _, _ = a[(rows-1)*blockCols+tileRows-1], b[rows*blockCols-1], c[(tileRows-1)*stride+blockCols-1]
	firstA, firstB := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	var c00, c01, c10, c11, c20, c21, c30, c31 archsimd.Float64x8
	for k := range rows {
		// from the first element each time: a pointer may not step past the end of its array
		pa, pb := unsafe.Add(firstA, 8*blockCols*k), unsafe.Add(firstB, 8*blockCols*k)
		b0 := archsimd.LoadFloat64x8((*[8]float64)(pb))
		b1 := archsimd.LoadFloat64x8((*[8]float64)(unsafe.Add(pb, 64)))
		x := archsimd.BroadcastFloat64x8(*(*float64)(pa))
		c00, c01 = x.MulAdd(b0, c00), x.MulAdd(b1, c01)
		x = archsimd.BroadcastFloat64x8(*(*float64)(unsafe.Add(pa, 8)))
		c10, c11 = x.MulAdd(b0, c10), x.MulAdd(b1, c11)
		x = archsimd.BroadcastFloat64x8(*(*float64)(unsafe.Add(pa, 16)))
		c20, c21 = x.MulAdd(b0, c20), x.MulAdd(b1, c21)
		x = archsimd.BroadcastFloat64x8(*(*float64)(unsafe.Add(pa, 24)))
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

// kernel256 is kernelGeneric in two halves of eight columns, with eight accumulators of four values.
func kernel256(c []float64, stride int, a, b []float64, rows int) {
	if rows == 0 {
		return
	}
	_, _, _ = a[(rows-1)*blockCols+tileRows-1], b[rows*blockCols-1], c[(tileRows-1)*stride+blockCols-1]
	for half := 0; half < blockCols; half += 8 {
		firstA, firstB := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(&b[half])
		var c00, c01, c10, c11, c20, c21, c30, c31 archsimd.Float64x4
		for k := range rows {
			pa, pb := unsafe.Add(firstA, 8*blockCols*k), unsafe.Add(firstB, 8*blockCols*k)
			b0 := archsimd.LoadFloat64x4((*[4]float64)(pb))
			b1 := archsimd.LoadFloat64x4((*[4]float64)(unsafe.Add(pb, 32)))
			x := archsimd.BroadcastFloat64x4(*(*float64)(pa))
			c00, c01 = x.MulAdd(b0, c00), x.MulAdd(b1, c01)
			x = archsimd.BroadcastFloat64x4(*(*float64)(unsafe.Add(pa, 8)))
			c10, c11 = x.MulAdd(b0, c10), x.MulAdd(b1, c11)
			x = archsimd.BroadcastFloat64x4(*(*float64)(unsafe.Add(pa, 16)))
			c20, c21 = x.MulAdd(b0, c20), x.MulAdd(b1, c21)
			x = archsimd.BroadcastFloat64x4(*(*float64)(unsafe.Add(pa, 24)))
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
