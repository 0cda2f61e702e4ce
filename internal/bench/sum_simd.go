//go:build amd64 && goexperiment.simd

package bench

import "simd/archsimd"

// sum32 adds values in 32 running sums, so that summing costs what it costs the peers' vectorised sum.
func sum32(x []float32) float32 {
	if !archsimd.X86.AVX2() {
		return sum32Plain(x)
	}
	var s0, s1, s2, s3 archsimd.Float32x8
	for len(x) >= 32 {
		s0 = s0.Add(archsimd.LoadFloat32x8Slice(x))
		s1 = s1.Add(archsimd.LoadFloat32x8Slice(x[8:]))
		s2 = s2.Add(archsimd.LoadFloat32x8Slice(x[16:]))
		s3 = s3.Add(archsimd.LoadFloat32x8Slice(x[24:]))
		x = x[32:]
	}
	var lanes [8]float32
	s0.Add(s1).Add(s2.Add(s3)).StoreSlice(lanes[:])
	archsimd.ClearAVXUpperBits()
	return sum32Plain(lanes[:]) + sum32Plain(x)
}
