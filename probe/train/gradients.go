package train

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Gradients are the gradients of a loss by parameter, row-major.
type Gradients map[string][]float32

// Add adds scale times h, of the same parameters, to g.
func (g Gradients) Add(h Gradients, scale float64) error {
	if len(g) != len(h) {
		return fmt.Errorf("train: gradients of %d parameters added to those of %d", len(h), len(g))
	}
	for name, x := range h {
		y, ok := g[name]
		if !ok || len(x) != len(y) {
			return fmt.Errorf("train: the gradient of %s has %d values, and %d in the sum", name, len(x), len(y))
		}
		s := float32(scale)
		inChunks(len(x), func(_, from, to int) {
			for i := from; i < to; i++ {
				y[i] += float32(s * x[i])
			}
		})
	}
	return nil
}

// Scale multiplies the gradients.
func (g Gradients) Scale(by float64) {
	s := float32(by)
	for _, x := range g {
		inChunks(len(x), func(_, from, to int) {
			for i := from; i < to; i++ {
				x[i] *= s
			}
		})
	}
}

// Norm is the Euclidean norm over all parameters, summed in float64.
func (g Gradients) Norm() float64 {
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(g)) {
		sum += sumSquares(g[name])
	}
	return math.Sqrt(sum)
}

// chunk is the number of values in one unit of parallel work.
const chunk = 1 << 14

// inChunks calls fn for the chunks [from, to) of 0..n from every core, each once.
func inChunks(n int, fn func(c, from, to int)) {
	total := (n + chunk - 1) / chunk
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), total) {
		wait.Go(func() {
			for {
				c := int(next.Add(1)) - 1
				if c >= total {
					return
				}
				fn(c, c*chunk, min((c+1)*chunk, n))
			}
		})
	}
	wait.Wait()
}

// sumSquares sums the squares per chunk and then over the chunks in order, so that it does not depend on the cores.
func sumSquares(x []float32) float64 {
	sums := make([]float64, (len(x)+chunk-1)/chunk)
	inChunks(len(x), func(c, from, to int) {
		sum := 0.0
		for _, v := range x[from:to] {
			sum += float64(v) * float64(v)
		}
		sums[c] = sum
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return total
}
