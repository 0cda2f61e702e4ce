package matmul

import "fmt"

// The size of a tile: 24 vectors of 16 sums, which with two vectors of W and the broadcast elements of X fill the 32
// registers of AVX-512.
const (
	TileRows = 12
	TileCols = 32
)

// Fast tells whether this processor has the vector form of [Tile].
func Fast() bool { return haveVector }

// PackedLen returns the length of a packed matrix [n, d] in panels of the given number of rows.
func PackedLen(n, d, panel int) int { return (n + panel - 1) / panel * panel * d }

// Pack writes one panel: up to panel rows of src, [rows, d], into dst, [d, panel], with zeros for missing rows.
func Pack(dst, src []float32, d, panel int) {
	rows := len(src) / d
	if rows > panel || len(dst) != d*panel || len(src) != rows*d {
		panic(fmt.Sprintf("matmul: %d values do not pack as rows of %d into a panel of %d rows with %d values", len(src), d, panel, len(dst)))
	}
	if rows < panel {
		clear(dst)
	}
	whole := 0 // rows and columns that the vector form does
	cols := d / 8 * 8
	if haveVector && cols > 0 {
		for ; whole+4 <= rows; whole += 4 {
			packFour(&dst[whole], &src[whole*d], 4*panel, 4*d, cols/8)
		}
	}
	packPlain(dst, src, d, panel, 0, whole, cols)
	packPlain(dst, src, d, panel, whole, rows, 0)
}

// packPlain is Pack of rows lo to hi from column first on.
func packPlain(dst, src []float32, d, panel, lo, hi, first int) {
	const block = 16
	for k := first; k < d; k += block {
		n := min(block, d-k)
		to := dst[k*panel : (k+n)*panel]
		for r := lo; r < hi; r++ {
			for j, v := range src[r*d+k : r*d+k+n] {
				to[j*panel+r] = v
			}
		}
	}
}

// Tile writes the product of a panel x, [d, TileRows], and a panel w, [d, TileCols], to out, [TileRows, TileCols]:
// out[i, j] = sum_k x[k, i] w[k, j].
func Tile(out *[TileRows * TileCols]float32, x, w []float32) {
	d := len(x) / TileRows
	if d == 0 || len(x) != d*TileRows || len(w) != d*TileCols {
		panic(fmt.Sprintf("matmul: panels of %d and %d values are not [d, %d] and [d, %d]", len(x), len(w), TileRows, TileCols))
	}
	if haveVector {
		tile(&out[0], &x[0], &w[0], d)
		return
	}
	tilePlain(out, x, w)
}

func tilePlain(out *[TileRows * TileCols]float32, x, w []float32) {
	clear(out[:])
	for ; len(x) > 0; x, w = x[TileRows:], w[TileCols:] {
		cols := w[:TileCols]
		for i, v := range x[:TileRows] {
			row := out[i*TileCols : (i+1)*TileCols]
			for j := range row {
				row[j] += float32(v * cols[j])
			}
		}
	}
}
