//go:build !amd64 || !goexperiment.simd

package gemm

func kernel(c []float64, stride int, a []float64, row, step int, b []float64, next, terms int) {
	kernelGeneric(c, stride, a, row, step, b, next, terms)
}
