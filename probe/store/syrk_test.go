package store

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSyrk compares the product with the plain triple loop, for widths around the blocks' sizes and for any workers.
func TestSyrk(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, d := range []int{1, 15, 16, 17, 50} {
		for _, rows := range []int{0, 1, 5, panelRows} {
			x := make([]float64, rows*d)
			for i := range x {
				x[i] = rng.NormFloat64()
			}
			width := blocksOf(d) * blockCols
			var first []float64
			for _, workers := range []int{1, 2, 3} {
				s := syrk{workers: workers}
				pack := s.panel(d)
				clear(pack)
				for k := range rows {
					for i := range d {
						pack[(i/blockCols*panelRows+k)*blockCols+i%blockCols] = x[k*d+i]
					}
				}
				c := make([]float64, width*width)
				s.add(c, pack, d, rows)
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
	a, b := make([]float64, panelRows*blockCols), make([]float64, panelRows*blockCols)
	for i := range a {
		a[i], b[i] = rng.NormFloat64(), rng.NormFloat64()*math.Exp(rng.NormFloat64()*10)
	}
	const stride = 32
	for _, rows := range []int{0, 1, 2, 77, panelRows} {
		got, want := make([]float64, 4*stride), make([]float64, 4*stride)
		for i := range got {
			got[i] = float64(i)
			want[i] = float64(i)
		}
		kernel(got, stride, a[4:], b, rows)
		kernelGeneric(want, stride, a[4:], b, rows)
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("rows %d element %d: %v and %v", rows, i, got[i], want[i])
			}
		}
	}
}

func BenchmarkSyrk(b *testing.B) {
	const d = 768
	s := syrk{workers: 1}
	pack := s.panel(d)
	for i := range pack {
		pack[i] = float64(i % 7)
	}
	width := blocksOf(d) * blockCols
	c := make([]float64, width*width)
	for b.Loop() {
		s.add(c, pack, d, panelRows)
	}
	b.ReportMetric(float64(b.N)*panelRows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(b.N)*panelRows*d*d/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
