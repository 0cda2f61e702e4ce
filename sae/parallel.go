package sae

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// chunkRows is the number of rows in one unit of parallel work. Sums are taken per chunk and then over the chunks in
// order, so that results do not depend on the number of cores.
const chunkRows = 64

func chunks(n int) int { return (n + chunkRows - 1) / chunkRows }

// parallel calls fn once for every chunk [lo, hi) of 0..n, from at most GOMAXPROCS goroutines, each with its own
// worker number, and returns when all calls have.
func parallel(n int, fn func(worker, chunk, lo, hi int)) {
	parallelEach(chunks(n), func(worker, c int) { fn(worker, c, c*chunkRows, min((c+1)*chunkRows, n)) })
}

// parallelEach is parallel over single units 0..total.
func parallelEach(total int, fn func(worker, unit int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for w := range min(workerCount(), total) {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= total {
					return
				}
				fn(w, i)
			}
		})
	}
	wait.Wait()
}

// workerCount is the number of goroutines that parallel may use.
func workerCount() int { return runtime.GOMAXPROCS(0) }

// chunkSums holds one float64 vector per chunk.
type chunkSums struct {
	width int
	data  []float64
}

func newChunkSums(n, width int) *chunkSums {
	return &chunkSums{width: width, data: make([]float64, chunks(n)*width)}
}

// at returns the cleared vector of a chunk.
func (s *chunkSums) at(chunk int) []float64 {
	v := s.data[chunk*s.width : (chunk+1)*s.width]
	clear(v)
	return v
}

// total writes the sum over the first n rows' chunks into out.
func (s *chunkSums) total(n int, out []float64) {
	clear(out)
	for c := range chunks(n) {
		for j, v := range s.data[c*s.width : (c+1)*s.width] {
			out[j] += v
		}
	}
}
