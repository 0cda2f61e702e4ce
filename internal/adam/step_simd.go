//go:build amd64 && goexperiment.simd

package adam

import "simd/archsimd"

// Step updates weights w and moments m and v by gradient g. All have the length of w.
func Step(k *Coef, w, m, v, g []float32) {
	if !archsimd.X86.AVX2() {
		StepPlain(k, w, m, v, g)
		return
	}
	m, v, g = m[:len(w)], v[:len(w)], g[:len(w)]
	scale, rate, root, eps := archsimd.BroadcastFloat32x8(k.Scale), archsimd.BroadcastFloat32x8(k.Rate), archsimd.BroadcastFloat32x8(k.Root), archsimd.BroadcastFloat32x8(k.Eps)
	b1, c1 := archsimd.BroadcastFloat32x8(k.B1), archsimd.BroadcastFloat32x8(k.C1)
	b2, c2 := archsimd.BroadcastFloat32x8(k.B2), archsimd.BroadcastFloat32x8(k.C2)
	keep := archsimd.BroadcastFloat32x8(k.Keep)
	for len(w) >= 8 {
		gi := archsimd.LoadFloat32x8Slice(g).Mul(scale)
		mi := b1.Mul(archsimd.LoadFloat32x8Slice(m)).Add(c1.Mul(gi))
		vi := b2.Mul(archsimd.LoadFloat32x8Slice(v)).Add(c2.Mul(gi).Mul(gi))
		mi.StoreSlice(m)
		vi.StoreSlice(v)
		step := rate.Mul(mi).Div(vi.Sqrt().Mul(root).Add(eps))
		keep.Mul(archsimd.LoadFloat32x8Slice(w)).Sub(step).StoreSlice(w)
		w, m, v, g = w[8:], m[8:], v[8:], g[8:]
	}
	archsimd.ClearAVXUpperBits()
	StepPlain(k, w, m, v, g)
}
