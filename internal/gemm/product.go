package gemm

import (
	"runtime"

	"gonum.org/v1/gonum/blas/blas64"
)

// Workers is how many processors a product may use. The result does not depend on it.
type Workers int

// AddMulTrans is Workers.AddMulTrans on the processors of this process.
func AddMulTrans(c, a, b blas64.General) { Workers(runtime.GOMAXPROCS(0)).AddMulTrans(c, a, b) }

// AddTransMul is Workers.AddTransMul on the processors of this process.
func AddTransMul(c, a, b blas64.General) { Workers(runtime.GOMAXPROCS(0)).AddTransMul(c, a, b) }

// AddMulTrans adds ab' to c [n, m] for a [n, d] and b [m, d].
func (w Workers) AddMulTrans(c, a, b blas64.General) {
	blocks := Blocks(b.Rows)
	pack := make([]float64, blocks*PanelRows*BlockCols)
	for k := 0; k < a.Cols; k += PanelRows {
		n := min(PanelRows, a.Cols-k)
		for j := range b.Rows {
			out := pack[j/BlockCols*PanelRows*BlockCols+j%BlockCols:]
			for r, v := range b.Data[j*b.Stride+k:][:n] {
				out[r*BlockCols] = v
			}
		}
		share(int(w), func(first, step int) {
			const group = 16 * tileRows // rows whose terms stay in the cache while all blocks pass
			for r := first * group; r < a.Rows; r += step * group {
				for b := range blocks {
					addTiles(c, r, min(r+group, a.Rows), b*BlockCols, a.Data[k:], a.Stride, 1, pack[b*PanelRows*BlockCols:], BlockCols, n)
				}
			}
		})
	}
}

// AddTransMul adds a'b to c [d, m] for a [n, d] and b [n, m]; it is quickest where b is the narrow one.
func (w Workers) AddTransMul(c, a, b blas64.General) {
	d, m := a.Cols, b.Cols
	flipped := blas64.General{Rows: m, Cols: d, Stride: d, Data: make([]float64, m*d)} // b'a, so that rows of a are read in order
	blocks := Blocks(d)
	share(int(w), func(first, step int) {
		var edge [PanelRows * BlockCols]float64
		for k := 0; k < a.Rows; k += PanelRows {
			n := min(PanelRows, a.Rows-k)
			for j := first; j < blocks; j += step {
				terms, next := a.Data[k*a.Stride+j*BlockCols:], a.Stride
				if cols := d - j*BlockCols; cols < BlockCols {
					for r := range n {
						copy(edge[r*BlockCols:], terms[r*a.Stride:][:cols])
					}
					terms, next = edge[:], BlockCols
				}
				addTiles(flipped, 0, m, j*BlockCols, b.Data[k*b.Stride:], 1, b.Stride, terms, next, n)
			}
		}
	})
	for i := range d {
		out := c.Data[i*c.Stride : i*c.Stride+m]
		for j := range out {
			out[j] += flipped.Data[j*d+i]
		}
	}
}

// addTiles adds n terms to the tiles of c at rows from..to and column j.
func addTiles(c blas64.General, from, to, j int, a []float64, row, step int, b []float64, next, n int) {
	for t := from; t < to; {
		if t+tallRows <= to && j+BlockCols <= c.Cols {
			kernelTall(c.Data[t*c.Stride+j:], c.Stride, a[t*row:], row, step, b, next, n)
			t += tallRows
			continue
		}
		addTile(c, t, j, a, row, step, b, next, n)
		t += tileRows
	}
}

// addTile adds n terms to the tile of c at row t and column j, from rows of a that are row values apart; rows and columns that
// c does not have are left out.
func addTile(c blas64.General, t, j int, a []float64, row, step int, b []float64, next, n int) {
	if t+tileRows <= c.Rows && j+BlockCols <= c.Cols {
		kernel(c.Data[t*c.Stride+j:], c.Stride, a[t*row:], row, step, b, next, n)
		return
	}
	if c.Rows < tileRows {
		for r := range c.Rows {
			addRows(c, r, r+1, r, j, a[r*row:], 0, step, b, next, n)
		}
		return
	}
	at := min(t, c.Rows-tileRows) // the last whole tile holds the last rows
	addRows(c, t, min(t+tileRows, c.Rows), at, j, a[at*row:], row, step, b, next, n)
}

// addRows adds rows from..to of the tile at row at.
func addRows(c blas64.General, from, to, at, j int, a []float64, row, step int, b []float64, next, n int) {
	var whole [tileRows * BlockCols]float64
	kernel(whole[:], BlockCols, a, row, step, b, next, n)
	for r := from; r < to; r++ {
		out := c.Data[r*c.Stride+j : r*c.Stride+min(j+BlockCols, c.Cols)]
		for i, v := range whole[(r-at)*BlockCols:][:len(out)] {
			out[i] += v
		}
	}
}
