package probe

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestKernelsAgree(t *testing.T) {
	for _, s := range []struct{ rows, cols, d int }{{32, 1, 768}, {32, 20, 768}, {31, 3, 100}, {1, 5, 17}, {7, 2, 8}, {32, 4, 16}} {
		t.Run(fmt.Sprintf("%d x %d of %d", s.rows, s.cols, s.d), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			x, w := normal32(rng, s.rows*s.d), normal32(rng, s.cols*s.d)
			z, want := make([]float32, s.cols*blockRows), make([]float32, s.cols*blockRows)
			scores(z, x, w, s.rows, s.cols, s.d)
			scoresPlain(want, x, w, s.rows, s.cols, s.d)
			equalBits(t, "scores", z, want)
			g, plain := normal32(rng, s.cols*s.d), make([]float32, s.cols*s.d)
			copy(plain, g)
			gather(g, z, x, s.rows, s.cols, s.d)
			gatherPlain(plain, z, x, s.rows, s.cols, s.d)
			equalBits(t, "gradient", g, plain)
		})
	}
}

func equalBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s[%d] is %v, the plain loop has %v", what, i, got[i], want[i])
		}
	}
}

func normal32(rng *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64())
	}
	return out
}

func BenchmarkPass(b *testing.B) {
	const n, d = 20000, 768
	rng := rand.New(rand.NewPCG(1, 2))
	x := normal32(rng, n*d)
	for _, cols := range []int{1, 2, 4, 20, 40} {
		b.Run(fmt.Sprintf("cols=%d", cols), func(b *testing.B) {
			w, g, z := normal32(rng, cols*d), make([]float32, cols*d), make([]float32, cols*blockRows)
			for b.Loop() {
				for r := 0; r < n; r += blockRows {
					scores(z, x[r*d:], w, blockRows, cols, d)
					gather(g, z, x[r*d:], blockRows, cols, d)
				}
			}
			b.ReportMetric(4*float64(n*d*cols)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
