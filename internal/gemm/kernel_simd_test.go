//go:build amd64 && goexperiment.simd

package gemm

import (
	"math/rand/v2"
	"testing"
)

// TestVectorKernelsAgree demands equal bits of every vector kernel that this machine can run.
func TestVectorKernelsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	a, b := make([]float64, PanelRows*BlockCols), make([]float64, PanelRows*BlockCols)
	for i := range a {
		a[i], b[i] = rng.NormFloat64(), rng.NormFloat64()
	}
	kernels := map[string]func([]float64, int, []float64, int, int, []float64, int, int){}
	if hasAVX2 {
		kernels["avx2"] = kernel256
	}
	if hasAVX512 {
		kernels["avx512"] = kernel512
	}
	want := make([]float64, 4*BlockCols)
	kernelGeneric(want, BlockCols, a, 1, BlockCols, b, BlockCols, PanelRows)
	for name, kernel := range kernels {
		got := make([]float64, 4*BlockCols)
		kernel(got, BlockCols, a, 1, BlockCols, b, BlockCols, PanelRows)
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s element %d: %v and %v", name, i, got[i], want[i])
			}
		}
	}
}
