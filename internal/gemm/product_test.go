package gemm

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"gonum.org/v1/gonum/blas/blas64"
)

// random draws [n, d] with rows two values further apart than they need.
func random(rng *rand.Rand, n, d int) blas64.General {
	m := blas64.General{Rows: n, Cols: d, Stride: d + 2, Data: make([]float64, n*(d+2))}
	for i := range m.Data {
		m.Data[i] = rng.NormFloat64()
	}
	return m
}

// TestProducts compares both products with the plain triple loop around the sizes of tiles, blocks and panels, and demands
// that nothing outside c changes and that the number of workers does not matter.
func TestProducts(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{1, 3, 4, 65, 70} {
		for _, m := range []int{1, 15, 16, 33} {
			for _, terms := range []int{1, PanelRows, PanelRows + 1} {
				a, b, at, bt := random(rng, n, terms), random(rng, m, terms), random(rng, terms, n), random(rng, terms, m)
				for what, product := range map[string]func(blas64.General) float64{
					"ab'": func(c blas64.General) float64 {
						AddMulTrans(c, a, b)
						return worst(c, func(i, j, k int) float64 { return a.Data[i*a.Stride+k] * b.Data[j*b.Stride+k] }, terms)
					},
					"a'b": func(c blas64.General) float64 {
						AddTransMul(c, at, bt)
						return worst(c, func(i, j, k int) float64 { return at.Data[k*at.Stride+i] * bt.Data[k*bt.Stride+j] }, terms)
					},
				} {
					var first []float64
					for _, processors := range []int{1, 3} {
						before := runtime.GOMAXPROCS(processors)
						c := blas64.General{Rows: n, Cols: m, Stride: m + 1, Data: make([]float64, n*(m+1))}
						// one rounding a term of size 1, of up to 129 terms
						if err := product(c); err > 1e-12 {
							t.Errorf("%s of %d rows, %d columns, %d terms is off by %g", what, n, m, terms, err)
						}
						runtime.GOMAXPROCS(before)
						for i := range n {
							if c.Data[i*c.Stride+m] != 0 {
								t.Fatalf("%s: wrote past row %d", what, i)
							}
						}
						if first == nil {
							first = c.Data
						}
						for i := range first {
							if first[i] != c.Data[i] {
								t.Fatalf("%s: %d processors change element %d", what, processors, i)
							}
						}
					}
				}
			}
		}
	}
}

func worst(c blas64.General, term func(i, j, k int) float64, terms int) float64 {
	largest := 0.0
	for i := range c.Rows {
		for j := range c.Cols {
			want := 0.0
			for k := range terms {
				want += term(i, j, k)
			}
			largest = max(largest, math.Abs(c.Data[i*c.Stride+j]-want))
		}
	}
	return largest
}

// TestAddGram: the upper triangle is that of the shifted rows' product, added to what is there, for one part or several; the
// lower one stays.
func TestAddGram(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	const n = PanelRows + 5
	for _, widths := range [][]int{{1}, {16}, {19}, {19, 2}, {3, 14, 30}} {
		var parts []blas64.General
		d := 0
		for _, w := range widths {
			parts = append(parts, random(rng, n, w))
			d += w
		}
		for _, shift := range [][]float64{nil, random(rng, 1, d).Data[:d]} {
			sum := blas64.Symmetric{N: d, Stride: d, Data: make([]float64, d*d)}
			for i := range sum.Data {
				sum.Data[i] = 1
			}
			AddGram(sum, shift, parts...)
			at := func(k, i int) float64 {
				v := 0.0
				if shift != nil {
					v = -shift[i]
				}
				for _, p := range parts {
					if i < p.Cols {
						return v + p.Data[k*p.Stride+i]
					}
					i -= p.Cols
				}
				panic("column")
			}
			for i := range d {
				for j := range d {
					want := 1.0
					for k := range n {
						if i <= j {
							want += at(k, i) * at(k, j)
						}
					}
					if got := sum.Data[i*d+j]; math.Abs(got-want) > 1e-12 {
						t.Fatalf("widths %v, element %d, %d: %v, want %v", widths, i, j, got, want)
					}
				}
			}
		}
	}
}

func BenchmarkProducts(b *testing.B) {
	const n, d, r = 4096, 768, 20
	rng := rand.New(rand.NewPCG(1, 1))
	x, u, w := random(rng, n, d), random(rng, n, r), random(rng, r, d)
	for name, product := range map[string]func(){
		"ab'": func() { AddMulTrans(blas64.General{Rows: n, Cols: r, Stride: r, Data: make([]float64, n*r)}, x, w) },
		"a'b": func() { AddTransMul(blas64.General{Rows: d, Cols: r, Stride: r, Data: make([]float64, d*r)}, x, u) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				product()
			}
			b.ReportMetric(float64(b.N)*2*n*d*r/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
