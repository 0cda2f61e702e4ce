package gemm

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestGram compares the product with the plain triple loop, for widths around the blocks' sizes and for any workers.
func TestGram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, d := range []int{1, 15, 16, 17, 50} {
		for _, rows := range []int{0, 1, 5, PanelRows} {
			x := make([]float64, rows*d)
			for i := range x {
				x[i] = rng.NormFloat64()
			}
			width := Blocks(d) * BlockCols
			var first []float64
			for _, workers := range []int{1, 2, 3} {
				s := Gram{Workers: workers}
				pack := s.Panel(d)
				clear(pack)
				for k := range rows {
					for i := range d {
						pack[(i/BlockCols*PanelRows+k)*BlockCols+i%BlockCols] = x[k*d+i]
					}
				}
				c := make([]float64, width*width)
				s.Add(c, pack, d, rows)
				for i := range d {
					for j := i; j < d; j++ {
						want := 0.0
						for k := range rows {
							want += x[k*d+i] * x[k*d+j]
						}
						// one rounding a term: 128 terms of size 1 differ by at most about 128 * 1e-16 * 10
						if got := c[i*width+j]; math.Abs(got-want) > 2e-13 {
							t.Fatalf("d %d rows %d (%d,%d): got %v, want %v", d, rows, i, j, got, want)
						}
					}
				}
				if first == nil {
					first = c
				}
				for i := range c {
					if c[i] != first[i] {
						t.Fatalf("d %d: %d workers change element %d", d, workers, i)
					}
				}
			}
		}
	}
}

// TestKernelsAgree demands equal bits of the kernel that this machine uses and of the portable one.
func TestKernelsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	a, b := make([]float64, PanelRows*BlockCols), make([]float64, PanelRows*BlockCols)
	for i := range a {
		a[i], b[i] = rng.NormFloat64(), rng.NormFloat64()*math.Exp(rng.NormFloat64()*10)
	}
	const stride = 32
	for _, rows := range []int{0, 1, 2, 77, PanelRows} {
		got, want := make([]float64, 4*stride), make([]float64, 4*stride)
		for i := range got {
			got[i] = float64(i)
			want[i] = float64(i)
		}
		kernel(got, stride, a[4:], 3, BlockCols-1, b, BlockCols, rows)
		kernelGeneric(want, stride, a[4:], 3, BlockCols-1, b, BlockCols, rows)
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("rows %d element %d: %v and %v", rows, i, got[i], want[i])
			}
		}
	}
}

func BenchmarkGram(b *testing.B) {
	const d = 768
	s := Gram{Workers: 1}
	pack := s.Panel(d)
	for i := range pack {
		pack[i] = float64(i % 7)
	}
	width := Blocks(d) * BlockCols
	c := make([]float64, width*width)
	for b.Loop() {
		s.Add(c, pack, d, PanelRows)
	}
	b.ReportMetric(float64(b.N)*PanelRows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(b.N)*PanelRows*d*d/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
