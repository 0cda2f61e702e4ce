//go:build !(amd64 && goexperiment.simd)

package bench

func sum32(x []float32) float32 { return sum32Plain(x) }
