//go:build amd64 && goexperiment.simd

package vectors

import "simd/archsimd"

// descendLanes moves x towards the minimum by sweeps over its entries; slope starts as with and becomes with - x gram.
func descendLanes(x, slope [][lanes]float64, gram []float64, sweeps int) {
	if !archsimd.X86.AVX512() {
		descendPlain(x, slope, gram, sweeps)
		return
	}
	r := len(x)
	for k := range x {
		subtractMultiples(slope, archsimd.LoadFloat64x8(&x[k]), gram[k*r:(k+1)*r])
	}
	zero := archsimd.BroadcastFloat64x8(0)
	for range sweeps {
		for k := range x {
			g := gram[k*r : (k+1)*r]
			if g[k] == 0 {
				continue
			}
			now := archsimd.LoadFloat64x8(&x[k])
			step := zero.Sub(now).Max(archsimd.LoadFloat64x8(&slope[k]).Div(archsimd.BroadcastFloat64x8(g[k])))
			now.Add(step).Store(&x[k])
			subtractMultiples(slope, step, g)
		}
	}
	archsimd.ClearAVXUpperBits()
}

// subtractMultiples takes g_j times v from every slope_j.
func subtractMultiples(slope [][lanes]float64, v archsimd.Float64x8, g []float64) {
	for j, w := range g[:len(slope)] {
		archsimd.LoadFloat64x8(&slope[j]).Sub(v.Mul(archsimd.BroadcastFloat64x8(w))).Store(&slope[j])
	}
}
