//go:build amd64 && goexperiment.simd

package store

import (
	"math/rand/v2"
	"testing"
)

// TestVectorKernelsAgree demands equal bits of every vector kernel that this machine can run.
func TestVectorKernelsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	a, b := make([]float64, panelRows*blockCols), make([]float64, panelRows*blockCols)
	for i := range a {
		a[i], b[i] = rng.NormFloat64(), rng.NormFloat64()
	}
	kernels := map[string]func([]float64, int, []float64, []float64, int){}
	if hasAVX2 {
		kernels["avx2"] = kernel256
	}
	if hasAVX512 {
		kernels["avx512"] = kernel512
	}
	want := make([]float64, 4*blockCols)
	kernelGeneric(want, blockCols, a, b, panelRows)
	for name, kernel := range kernels {
		got := make([]float64, 4*blockCols)
		kernel(got, blockCols, a, b, panelRows)
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s element %d: %v and %v", name, i, got[i], want[i])
			}
		}
	}
}
