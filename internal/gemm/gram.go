package gemm

import (
	"runtime"
	"sync"

	"gonum.org/v1/gonum/blas/blas64"
)

// A panel has PanelRows rows and is packed in blocks of BlockCols columns, each [PanelRows, BlockCols], so that the inner
// kernel reads memory in order.
const (
	PanelRows = 128
	BlockCols = 16
	tileRows  = 4
)

// Gram computes symmetric products panel by panel. The zero value works with one worker; it serves one caller at a time.
type Gram struct {
	Workers int
	pack    []float64
}

// NewGram returns a Gram that uses the processors of this process.
func NewGram() *Gram { return &Gram{Workers: runtime.GOMAXPROCS(0)} }

// Blocks is the number of column blocks of width d; the product has the width Blocks(d) * BlockCols.
func Blocks(d int) int { return (d + BlockCols - 1) / BlockCols }

// Panel returns the packed panel of width d, to be filled: value (k, i) lies at block i/16, row k, column i%16. Columns past d
// of the last block hold what was there before, and reach only the product's elements past d.
func (s *Gram) Panel(d int) []float64 {
	n := Blocks(d) * PanelRows * BlockCols
	if len(s.pack) < n {
		s.pack = make([]float64, n)
	}
	return s.pack[:n]
}

// Add adds the product of the panel's first rows rows to c [D, D], D = 16 Blocks(d), in the blocks on and above the diagonal.
func (s *Gram) Add(c, pack []float64, d, rows int) {
	blocks := Blocks(d)
	share(s.Workers, func(first, step int) { gramRows(c, pack, blocks, rows, first, step) })
}

// gramRows computes the column blocks j = first, first+step, ...; a block is multiplied while it is in the cache.
func gramRows(c, pack []float64, blocks, rows, first, step int) {
	width, size := blocks*BlockCols, PanelRows*BlockCols
	for j := first; j < blocks; j += step {
		pj := pack[j*size : (j+1)*size]
		for i := 0; i <= j; i++ {
			pi := pack[i*size : (i+1)*size]
			for t := 0; t < BlockCols; t += tallRows {
				kernelTall(c[(i*BlockCols+t)*width+j*BlockCols:], width, pi[t:], 1, BlockCols, pj, BlockCols, rows)
			}
		}
	}
}

// gramPanels are packed at a time, so that the workers wait for each other once for all of them.
const gramPanels = 8

// AddGram adds y'y to the upper triangle of sum, where row k of y holds row k of every part [n, d_i], one after the other, less
// shift [sum d_i]; shift may be nil.
func AddGram(sum blas64.Symmetric, shift []float64, parts ...blas64.General) {
	d, rows := sum.N, parts[0].Rows
	blocks := Blocks(d)
	width, size := blocks*BlockCols, blocks*PanelRows*BlockCols
	pack := make([]float64, min(gramPanels, (rows+PanelRows-1)/PanelRows)*size)
	c := make([]float64, width*width)
	workers := runtime.GOMAXPROCS(0)
	for lo := 0; lo < rows; lo += gramPanels * PanelRows {
		each := func(do func(panel []float64, from, n int)) {
			for p := range gramPanels {
				if from := lo + p*PanelRows; from < rows {
					do(pack[p*size:(p+1)*size], from, min(PanelRows, rows-from))
				}
			}
		}
		share(workers, func(first, step int) {
			each(func(panel []float64, from, n int) { packPanel(panel, shift, parts, from, n, first, step) })
		})
		share(workers, func(first, step int) {
			each(func(panel []float64, _, n int) { gramRows(c, panel, blocks, n, first, step) })
		})
	}
	for i := range d {
		out := sum.Data[i*sum.Stride : i*sum.Stride+d]
		for j := i; j < d; j++ {
			out[j] += c[i*width+j]
		}
	}
}

// packPanel packs rows from..from+n of the blocks first, first+step, ... of all parts.
func packPanel(pack, shift []float64, parts []blas64.General, from, n, first, step int) {
	at := 0
	for _, p := range parts {
		for b := at / BlockCols; b < Blocks(at+p.Cols); b++ {
			if b%step == first {
				packBlock(pack[b*PanelRows*BlockCols:], p, from, n, b*BlockCols-at)
			}
		}
		at += p.Cols
	}
	for b := first; shift != nil && b < Blocks(at); b += step {
		m := shift[b*BlockCols : min((b+1)*BlockCols, at)]
		for k := range n {
			out := pack[(b*PanelRows+k)*BlockCols:][:len(m)]
			for i, v := range m {
				out[i] -= v
			}
		}
	}
}

// packBlock puts rows lo..lo+n of x into a block whose first column is column first of x, which may lie before it.
func packBlock(block []float64, x blas64.General, lo, n, first int) {
	from, to := max(0, first), min(first+BlockCols, x.Cols)
	for k := range n {
		copy(block[k*BlockCols+from-first:], x.Data[(lo+k)*x.Stride+from:(lo+k)*x.Stride+to])
	}
}

// share runs work as first = 0..workers-1 of step workers at the same time.
func share(workers int, work func(first, step int)) {
	workers = max(1, workers)
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { work(w, workers) })
	}
	work(0, workers)
	wg.Wait()
}
