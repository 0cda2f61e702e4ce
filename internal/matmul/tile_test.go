package matmul

import (
	"math"
	"math/rand/v2"
	"testing"
)

// product multiplies x [n, d] and w [f, d] by tiles into [n, f].
func product(x, w []float32, n, f, d int) []float32 {
	panels := func(m []float32, rows, panel int) []float32 {
		out := make([]float32, PackedLen(rows, d, panel))
		for i := range len(out) / (panel * d) {
			Pack(out[i*panel*d:(i+1)*panel*d], m[i*panel*d:min((i+1)*panel, rows)*d], d, panel)
		}
		return out
	}
	xp, wp := panels(x, n, TileRows), panels(w, f, TileCols)
	out := make([]float32, n*f)
	var tile [TileRows * TileCols]float32
	for c := 0; c < f; c += TileCols {
		for r := 0; r < n; r += TileRows {
			Tile(&tile, xp[r*d:(r+TileRows)*d], wp[c*d:(c+TileCols)*d])
			for i := r; i < min(r+TileRows, n); i++ {
				for j := c; j < min(c+TileCols, f); j++ {
					out[i*f+j] = tile[(i-r)*TileCols+j-c]
				}
			}
		}
	}
	return out
}

// TestProduct compares products with sums in float64, at sizes that do and do not fill the tiles. Factors that are small
// integers make every sum exact, so that the two must be equal.
func TestProduct(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct{ n, f, d int }{{1, 1, 1}, {12, 32, 16}, {13, 33, 17}, {5, 70, 100}, {25, 31, 768}} {
		for _, exact := range []bool{true, false} {
			x, w := make([]float32, c.n*c.d), make([]float32, c.f*c.d)
			for _, m := range [][]float32{x, w} {
				for i := range m {
					m[i] = float32(rng.NormFloat64())
					if exact {
						m[i] = float32(rng.IntN(17) - 8)
					}
				}
			}
			got := product(x, w, c.n, c.f, c.d)
			for i := range c.n {
				for j := range c.f {
					var want, size float64
					for k := range c.d {
						p := float64(x[i*c.d+k]) * float64(w[j*c.d+k])
						want, size = want+p, size+math.Abs(p)
					}
					// rounding is at most d/2^24 of the sum of magnitudes
					if diff := math.Abs(float64(got[i*c.f+j]) - want); exact && diff != 0 || diff > size*float64(c.d)/(1<<24) {
						t.Fatalf("%+v, exact %v: element (%d, %d) is %v, want %v", c, exact, i, j, got[i*c.f+j], want)
					}
				}
			}
		}
	}
}

// TestVectorNearPlain compares the two forms of Tile; they differ by one rounding of each product at most.
func TestVectorNearPlain(t *testing.T) {
	if !Fast() {
		t.Log("this processor has the plain form only")
	}
	rng := rand.New(rand.NewPCG(4, 4))
	const d = 50
	x, w := make([]float32, d*TileRows), make([]float32, d*TileCols)
	for _, m := range [][]float32{x, w} {
		for i := range m {
			m[i] = float32(rng.NormFloat64())
		}
	}
	var a, b [TileRows * TileCols]float32
	Tile(&a, x, w)
	tilePlain(&b, x, w)
	for i := range a {
		if diff := math.Abs(float64(a[i]) - float64(b[i])); diff > 1e-4 {
			t.Errorf("element %d: %v, plain %v", i, a[i], b[i])
		}
	}
}

// TestPlacement wants the same bytes for an element wherever its row and column lie in the matrices.
func TestPlacement(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	const n, f, d = 30, 70, 40
	x, w := make([]float32, n*d), make([]float32, f*d)
	for _, m := range [][]float32{x, w} {
		for i := range m {
			m[i] = float32(rng.NormFloat64())
		}
	}
	whole := product(x, w, n, f, d)
	part := product(x[7*d:], w[3*d:], n-7, f-3, d)
	for i := range n - 7 {
		for j := range f - 3 {
			if a, b := whole[(i+7)*f+j+3], part[i*(f-3)+j]; math.Float32bits(a) != math.Float32bits(b) {
				t.Fatalf("element (%d, %d) is %v as part of the larger product and %v in the smaller", i, j, a, b)
			}
		}
	}
}

// TestPack wants every value at its column and row, and zeros for missing rows.
func TestPack(t *testing.T) {
	for _, d := range []int{1, 7, 8, 24, 27} {
		for _, panel := range []int{TileRows, TileCols} {
			for rows := range panel + 1 {
				src, dst := make([]float32, rows*d), make([]float32, panel*d)
				for i := range src {
					src[i] = float32(i + 1)
				}
				for i := range dst {
					dst[i] = -1
				}
				Pack(dst, src, d, panel)
				for i, v := range dst {
					k, r := i/panel, i%panel
					want := float32(0)
					if r < rows {
						want = src[r*d+k]
					}
					if v != want {
						t.Fatalf("%d rows of %d into panels of %d: value %v of row %d, column %d; want %v", rows, d, panel, v, r, k, want)
					}
				}
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	for name, call := range map[string]func(){
		"panels of two depths": func() { Tile(new([TileRows * TileCols]float32), make([]float32, 24), make([]float32, 32)) },
		"no depth":             func() { Tile(new([TileRows * TileCols]float32), nil, nil) },
		"too many rows":        func() { Pack(make([]float32, 8), make([]float32, 12), 4, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

// BenchmarkTile reports the rate of one core; d = 768.
func BenchmarkTile(b *testing.B) {
	const d = 768
	x, w := make([]float32, d*TileRows), make([]float32, d*TileCols)
	var out [TileRows * TileCols]float32
	for b.Loop() {
		Tile(&out, x, w)
	}
	b.ReportMetric(2*TileRows*TileCols*d/(b.Elapsed().Seconds()/float64(b.N))/1e9, "GFLOP/s")
}

func BenchmarkPack(b *testing.B) {
	const d = 768
	src, dst := make([]float32, d*TileCols), make([]float32, d*TileCols)
	b.SetBytes(4 * d * TileCols)
	for b.Loop() {
		Pack(dst, src, d, TileCols)
	}
}
