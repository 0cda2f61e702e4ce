//go:build amd64 && goexperiment.simd

package probe

import (
	"simd/archsimd"
	"unsafe"
)

type f32x8 = archsimd.Float32x8

var hasAVX2 = archsimd.X86.AVX2()

func scores(z, x, w []float32, rows, cols, d int) {
	if !hasAVX2 || d < lanes {
		scoresPlain(z, x, w, rows, cols, d)
		return
	}
	_, _, _ = x[rows*d-1], w[cols*d-1], z[(cols-1)*blockRows+rows-1]
	for c := 0; c+1 < cols; c += 2 {
		for r := 0; r < rows; r += 2 {
			scores2x2(z, x, w, r, min(r+1, rows-1), c, d)
		}
	}
	if cols%2 == 1 {
		for r := 0; r < rows; r += 4 {
			scores4x1(z, x, w, r, min(r+1, rows-1), min(r+2, rows-1), min(r+3, rows-1), cols-1, d)
		}
	}
	archsimd.ClearAVXUpperBits()
}

// scores2x2 computes two rows by the columns c and c+1; at the edge a row comes twice.
func scores2x2(z, x, w []float32, r0, r1, c, d int) {
	n := d / lanes * lanes
	px0, px1 := unsafe.Pointer(&x[r0*d]), unsafe.Pointer(&x[r1*d])
	pw0, pw1 := unsafe.Pointer(&w[c*d]), unsafe.Pointer(&w[(c+1)*d])
	var s00, t00, s01, t01, s10, t10, s11, t11 f32x8
	for i := 0; i < 4*n; i += 4 * lanes {
		xa, xb := load(px0, i), load(px0, i+32)
		ya, yb := load(px1, i), load(px1, i+32)
		v := load(pw0, i)
		s00, s10 = s00.Add(xa.Mul(v)), s10.Add(ya.Mul(v))
		v = load(pw0, i+32)
		t00, t10 = t00.Add(xb.Mul(v)), t10.Add(yb.Mul(v))
		v = load(pw1, i)
		s01, s11 = s01.Add(xa.Mul(v)), s11.Add(ya.Mul(v))
		v = load(pw1, i+32)
		t01, t11 = t01.Add(xb.Mul(v)), t11.Add(yb.Mul(v))
	}
	put(z, x, w, r0, c, d, s00, t00)
	put(z, x, w, r1, c, d, s10, t10)
	put(z, x, w, r0, c+1, d, s01, t01)
	put(z, x, w, r1, c+1, d, s11, t11)
}

// scores4x1 computes four rows by one column.
func scores4x1(z, x, w []float32, r0, r1, r2, r3, c, d int) {
	n := d / lanes * lanes
	p0, p1, p2, p3 := unsafe.Pointer(&x[r0*d]), unsafe.Pointer(&x[r1*d]), unsafe.Pointer(&x[r2*d]), unsafe.Pointer(&x[r3*d])
	pw := unsafe.Pointer(&w[c*d])
	var s0, t0, s1, t1, s2, t2, s3, t3 f32x8
	for i := 0; i < 4*n; i += 4 * lanes {
		u, v := load(pw, i), load(pw, i+32)
		s0, t0 = s0.Add(u.Mul(load(p0, i))), t0.Add(v.Mul(load(p0, i+32)))
		s1, t1 = s1.Add(u.Mul(load(p1, i))), t1.Add(v.Mul(load(p1, i+32)))
		s2, t2 = s2.Add(u.Mul(load(p2, i))), t2.Add(v.Mul(load(p2, i+32)))
		s3, t3 = s3.Add(u.Mul(load(p3, i))), t3.Add(v.Mul(load(p3, i+32)))
	}
	put(z, x, w, r0, c, d, s0, t0)
	put(z, x, w, r1, c, d, s1, t1)
	put(z, x, w, r2, c, d, s2, t2)
	put(z, x, w, r3, c, d, s3, t3)
}

// put stores the dot product of row r and column c, whose partial sums are lo and hi.
func put(z, x, w []float32, r, c, d int, lo, hi f32x8) {
	n := d / lanes * lanes
	var lane [lanes]float32
	lo.StoreSlice(lane[:8])
	hi.StoreSlice(lane[8:])
	z[c*blockRows+r] = foldLanes(&lane) + tailDot(x[r*d+n:(r+1)*d], w[c*d+n:(c+1)*d])
}

func load(p unsafe.Pointer, at int) f32x8 {
	return archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(p, at)))
}

func put8(p unsafe.Pointer, at int, v f32x8) { v.Store((*[8]float32)(unsafe.Add(p, at))) }

func gather(g, z, x []float32, rows, cols, d int) {
	const tile = 16 // coordinates
	if !hasAVX2 {
		gatherPlain(g, z, x, rows, cols, d)
		return
	}
	_, _, _ = x[rows*d-1], g[cols*d-1], z[(cols-1)*blockRows+rows-1]
	n := d / tile * tile
	for j := 0; j < n; j += tile {
		px := unsafe.Pointer(&x[j])
		c := 0
		for ; c+4 <= cols; c += 4 {
			gather4(unsafe.Pointer(&g[c*d+j]), unsafe.Pointer(&z[c*blockRows]), px, rows, d)
		}
		for ; c < cols; c++ {
			gather1(unsafe.Pointer(&g[c*d+j]), unsafe.Pointer(&z[c*blockRows]), px, rows, d)
		}
	}
	archsimd.ClearAVXUpperBits()
	if n < d {
		gatherFrom(g, z, x, rows, cols, d, n)
	}
}

// gather4 does four columns by 16 coordinates.
func gather4(g, z, x unsafe.Pointer, rows, d int) {
	a0, b0 := load(g, 0), load(g, 32)
	a1, b1 := load(g, 4*d), load(g, 4*d+32)
	a2, b2 := load(g, 8*d), load(g, 8*d+32)
	a3, b3 := load(g, 12*d), load(g, 12*d+32)
	for r := range rows {
		u, v := load(x, 4*r*d), load(x, 4*r*d+32)
		s := broadcast(z, 4*r)
		a0, b0 = a0.Add(s.Mul(u)), b0.Add(s.Mul(v))
		s = broadcast(z, 4*(r+blockRows))
		a1, b1 = a1.Add(s.Mul(u)), b1.Add(s.Mul(v))
		s = broadcast(z, 4*(r+2*blockRows))
		a2, b2 = a2.Add(s.Mul(u)), b2.Add(s.Mul(v))
		s = broadcast(z, 4*(r+3*blockRows))
		a3, b3 = a3.Add(s.Mul(u)), b3.Add(s.Mul(v))
	}
	put8(g, 0, a0)
	put8(g, 32, b0)
	put8(g, 4*d, a1)
	put8(g, 4*d+32, b1)
	put8(g, 8*d, a2)
	put8(g, 8*d+32, b2)
	put8(g, 12*d, a3)
	put8(g, 12*d+32, b3)
}

// gather1 does one column by 16 coordinates.
func gather1(g, z, x unsafe.Pointer, rows, d int) {
	a, b := load(g, 0), load(g, 32)
	for r := range rows {
		s := broadcast(z, 4*r)
		a = a.Add(s.Mul(load(x, 4*r*d)))
		b = b.Add(s.Mul(load(x, 4*r*d+32)))
	}
	put8(g, 0, a)
	put8(g, 32, b)
}

func broadcast(p unsafe.Pointer, at int) f32x8 {
	return archsimd.BroadcastFloat32x8(*(*float32)(unsafe.Add(p, at)))
}
