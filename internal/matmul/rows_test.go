package matmul

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAddRows holds the vector form to the bytes of the plain one, at widths with and without a rest, and the plain one to
// a sum on paper.
func TestAddRows(t *testing.T) {
	y := []float32{1, 2}
	AddRows(y, []float32{10, 20, 30, 40}, []int32{1, 0, 1}, []float32{1, 0.5, -2})
	if want := []float32{1 + 30 + 5 - 60, 2 + 40 + 10 - 80}; !slices.Equal(y, want) {
		t.Errorf("sum of rows: %v, want %v", y, want)
	}
	rng := rand.New(rand.NewPCG(6, 6))
	for _, d := range []int{1, 63, 64, 100, 384, 500, 768} {
		for _, count := range []int{0, 1, 2, 9} {
			const n = 11
			x, y := make([]float32, n*d), make([]float32, d)
			for _, m := range [][]float32{x, y} {
				for i := range m {
					m[i] = float32(rng.NormFloat64())
				}
			}
			rows, coef := make([]int32, count), make([]float32, count)
			for j := range rows {
				rows[j], coef[j] = int32(rng.IntN(n)), float32(rng.NormFloat64())
			}
			want := slices.Clone(y)
			addRowsPlain(want, x, rows, coef, 0)
			AddRows(y, x, rows, coef)
			for i := range y {
				if math.Float32bits(y[i]) != math.Float32bits(want[i]) {
					t.Fatalf("d = %d, %d rows: column %d is %v, plain %v", d, count, i, y[i], want[i])
				}
			}
		}
	}
}

// BenchmarkAddRows adds 32 of 24,576 rows of 768 values.
func BenchmarkAddRows(b *testing.B) {
	const n, d, k = 24576, 768, 32
	x, y, rows, coef := make([]float32, n*d), make([]float32, d), make([]int32, k), make([]float32, k)
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range x {
		x[i] = 1 // memory that was never written is one page
	}
	b.SetBytes(4 * d * k)
	for b.Loop() {
		for j := range rows {
			rows[j], coef[j] = int32(rng.IntN(n)), 1
		}
		AddRows(y, x, rows, coef)
	}
}
