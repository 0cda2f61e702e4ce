//go:build !amd64 || !goexperiment.simd

package vectors

// descendLanes moves x towards the minimum by sweeps over its entries; slope starts as with and becomes with - x gram.
func descendLanes(x, slope [][lanes]float64, gram []float64, sweeps int) {
	descendPlain(x, slope, gram, sweeps)
}
