//go:build !amd64 || !goexperiment.simd

package store

func kernel(c []float64, stride int, a, b []float64, rows int) { kernelGeneric(c, stride, a, b, rows) }
