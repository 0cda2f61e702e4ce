package gemm

import (
	"math/rand/v2"
	"testing"
)

// TestTallKernelAgrees demands the bits of the plain kernel, for the strides of both products and what lies beside the tile.
func TestTallKernelAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	a, b := make([]float64, 200*200), make([]float64, 200*200)
	for i := range a {
		a[i], b[i] = rng.NormFloat64(), rng.NormFloat64()
	}
	for _, s := range []struct{ stride, row, step, next, terms int }{
		{BlockCols, 1, BlockCols, BlockCols, PanelRows}, {40, 190, 1, BlockCols, 77}, {23, 1, 30, 50, 3}, {16, 1, 16, 16, 1}, {16, 1, 16, 16, 0},
	} {
		want, got := make([]float64, 8*s.stride+16), make([]float64, 8*s.stride+16)
		for i := range want {
			want[i] = rng.NormFloat64()
		}
		copy(got, want)
		for r := range 2 {
			kernelGeneric(want[r*tileRows*s.stride:], s.stride, a[r*tileRows*s.row:], s.row, s.step, b, s.next, s.terms)
		}
		kernelTall(got, s.stride, a, s.row, s.step, b, s.next, s.terms)
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%+v, element %d: %v and %v", s, i, got[i], want[i])
			}
		}
	}
}
