package store

import (
	"math"
	"sync"
)

// The symmetric product sum_k p_k p_k' in float64, of rows p_k [d], in panels of panelRows rows. A panel is packed in
// blocks of blockCols columns, each [panelRows, blockCols], so that the inner kernel reads memory in order.
const (
	panelRows = 128
	blockCols = 16
	tileRows  = 4
)

// syrk holds the scratch memory of the product; it serves one caller at a time.
type syrk struct {
	pack    []float64
	workers int
}

func blocksOf(d int) int { return (d + blockCols - 1) / blockCols }

// panel returns the packed panel of width d, to be filled: value (k, i) lies at block i/16, row k, column i%16.
func (s *syrk) panel(d int) []float64 {
	n := blocksOf(d) * panelRows * blockCols
	if len(s.pack) < n {
		s.pack = make([]float64, n)
	}
	return s.pack[:n]
}

// add adds the product of the panel's first rows rows to c [D, D], D = 16 blocks(d), in the blocks on and above the
// diagonal. Every element is summed over k in order, whatever the kernel and the number of workers.
func (s *syrk) add(c, pack []float64, d, rows int) {
	blocks := blocksOf(d)
	var wg sync.WaitGroup
	for w := 1; w < s.workers; w++ {
		wg.Go(func() { syrkRows(c, pack, blocks, rows, w, s.workers) })
	}
	syrkRows(c, pack, blocks, rows, 0, max(1, s.workers))
	wg.Wait()
}

// syrkRows computes the column blocks j = first, first+step, ...; a block is multiplied while it is in the cache.
func syrkRows(c, pack []float64, blocks, rows, first, step int) {
	width, size := blocks*blockCols, panelRows*blockCols
	for j := first; j < blocks; j += step {
		pj := pack[j*size : (j+1)*size]
		for i := 0; i <= j; i++ {
			pi := pack[i*size : (i+1)*size]
			for t := 0; t < blockCols; t += tileRows {
				kernel(c[(i*blockCols+t)*width+j*blockCols:], width, pi[t:], pj, rows)
			}
		}
	}
}

// kernelGeneric adds sum_k a_k b_k' to the tile [4, 16] of c with the given row stride. a is the panel block from the
// tile's first row on; a and b have 16 values a row. Fused multiply-adds make it equal to the vector kernels bit for bit.
func kernelGeneric(c []float64, stride int, a, b []float64, rows int) {
	var acc [tileRows][blockCols]float64
	for k := range rows {
		bk := b[k*blockCols : (k+1)*blockCols]
		for r := range tileRows {
			x := a[k*blockCols+r]
			for j, y := range bk {
				acc[r][j] = math.FMA(x, y, acc[r][j])
			}
		}
	}
	for r := range tileRows {
		row := c[r*stride : r*stride+blockCols]
		for j := range row {
			row[j] += acc[r][j]
		}
	}
}
