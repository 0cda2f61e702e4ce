//go:build amd64 && goexperiment.simd

package sae

import (
	"math"
	"simd/archsimd"

	"loupe/internal/matmul"
)

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// axpy adds a*x to y.
func axpy(a float32, x, y []float32) {
	if !archsimd.X86.AVX2() {
		axpyPlain(a, x, y)
		return
	}
	x = x[:len(y)]
	av := archsimd.BroadcastFloat32x8(a)
	for len(y) >= 16 {
		x0, x1 := archsimd.LoadFloat32x8Slice(x), archsimd.LoadFloat32x8Slice(x[8:])
		y0, y1 := archsimd.LoadFloat32x8Slice(y), archsimd.LoadFloat32x8Slice(y[8:])
		y0.Add(av.Mul(x0)).StoreSlice(y)
		y1.Add(av.Mul(x1)).StoreSlice(y[8:])
		x, y = x[16:], y[16:]
	}
	archsimd.ClearAVXUpperBits()
	axpyPlain(a, x, y)
}

// dot returns the dot product of x and y.
func dot(x, y []float32) float32 {
	if !archsimd.X86.AVX2() {
		return dotPlain(x, y)
	}
	y = y[:len(x)]
	var s0, s1, s2, s3 archsimd.Float32x8
	for len(x) >= dotLanes {
		s0 = s0.Add(archsimd.LoadFloat32x8Slice(x).Mul(archsimd.LoadFloat32x8Slice(y)))
		s1 = s1.Add(archsimd.LoadFloat32x8Slice(x[8:]).Mul(archsimd.LoadFloat32x8Slice(y[8:])))
		s2 = s2.Add(archsimd.LoadFloat32x8Slice(x[16:]).Mul(archsimd.LoadFloat32x8Slice(y[16:])))
		s3 = s3.Add(archsimd.LoadFloat32x8Slice(x[24:]).Mul(archsimd.LoadFloat32x8Slice(y[24:])))
		x, y = x[dotLanes:], y[dotLanes:]
	}
	var lane [dotLanes]float32
	s0.StoreSlice(lane[:])
	s1.StoreSlice(lane[8:])
	s2.StoreSlice(lane[16:])
	s3.StoreSlice(lane[24:])
	archsimd.ClearAVXUpperBits()
	return foldLanes(&lane) + tailDot(x, y)
}

// finishTile is finishTilePlain.
func finishTile(t *tile, c tileColumns, limits []float32, magnitude bool) bool {
	if !archsimd.X86.AVX512() {
		return finishTilePlain(t, c, limits, magnitude)
	}
	b0, b1 := archsimd.LoadFloat32x16Slice(c.bias), archsimd.LoadFloat32x16Slice(c.bias[16:])
	s0, s1 := archsimd.BroadcastFloat32x16(1), archsimd.BroadcastFloat32x16(1)
	if c.scale != nil {
		s0, s1 = archsimd.LoadFloat32x16Slice(c.scale), archsimd.LoadFloat32x16Slice(c.scale[16:])
	}
	f0 := archsimd.BroadcastFloat32x16(float32(math.Inf(-1)))
	f1 := f0
	if c.floor != nil {
		f0, f1 = archsimd.LoadFloat32x16Slice(c.floor), archsimd.LoadFloat32x16Slice(c.floor[16:])
	}
	some := uint32(0)
	for r, limit := range limits[:matmul.TileRows] {
		row := t.scores[r*matmul.TileCols : (r+1)*matmul.TileCols]
		v0 := archsimd.LoadFloat32x16Slice(row).Add(b0).Mul(s0)
		v1 := archsimd.LoadFloat32x16Slice(row[16:]).Add(b1).Mul(s1)
		l := archsimd.BroadcastFloat32x16(limit)
		a0, a1 := v0, v1
		if magnitude {
			var zero archsimd.Float32x16
			a0, a1 = v0.Max(zero.Sub(v0)), v1.Max(zero.Sub(v1))
		}
		hits := uint32(a0.Greater(l.Max(f0)).ToBits()) | uint32(a1.Greater(l.Max(f1)).ToBits())<<16
		t.hits[r] = hits
		if hits != 0 {
			v0.StoreSlice(row)
			v1.StoreSlice(row[16:])
			some |= hits
		}
	}
	archsimd.ClearAVXUpperBits()
	return some != 0
}
