package probe

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// The rows are shared out in stripes of neighbouring blocks, whose number depends on the rows alone; stripes are added
// in order, so that the sums do not depend on the number of processors.
const (
	stripes     = 16
	flushBlocks = 8 // blocks whose gradients are summed in float32 before they go to the float64 sum
)

// head is the loss of one fit as a function of its scores.
type head interface {
	columns() int
	// slope replaces the scores z of rows first..first+rows, [columns, blockRows], by the derivatives of the rows'
	// losses and returns the sum of the losses.
	slope(z []float32, first, rows int) float64
}

// pass computes losses and gradients of heads that share the rows, reading these once. It serves one goroutine.
type pass struct {
	x     Rows
	parts []stripe
}

// stripe holds the sums of one stripe.
type stripe struct {
	loss   []float64 // [heads]
	grad   []float64 // [columns, d]
	bias   []float64 // [columns]
	sum    []float32 // [columns, d] of at most flushBlocks blocks
	z      []float32 // [columns, blockRows]
	lo, hi int       // rows
}

func newPass(x Rows) *pass {
	p := &pass{x: x}
	blocks := (x.N + blockRows - 1) / blockRows
	n := min(stripes, blocks)
	for s := range n {
		p.parts = append(p.parts, stripe{lo: blocks * s / n * blockRows, hi: min(blocks*(s+1)/n*blockRows, x.N)})
	}
	return p
}

// run evaluates the heads at weights w [columns, d] and biases b [columns], columns being those of all heads in order.
// It fills loss [heads], grad [columns, d] and gradBias [columns].
func (p *pass) run(heads []head, w, b []float32, loss, grad, gradBias []float64) {
	p.each(func(s *stripe) { s.run(p.x, heads, w, b) })
	clear(loss)
	clear(gradBias)
	for _, s := range p.parts {
		add(loss, s.loss)
		add(gradBias, s.bias)
	}
	copy(grad, p.parts[0].grad)
	for _, s := range p.parts[1:] {
		add(grad, s.grad)
	}
}

// each calls f with every stripe, on as many goroutines as there are processors.
func (p *pass) each(f func(s *stripe)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(p.parts)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(p.parts); i = int(next.Add(1)) - 1 {
				f(&p.parts[i])
			}
		})
	}
	wg.Wait()
}

func (s *stripe) run(x Rows, heads []head, w, b []float32) {
	cols, d := len(b), x.D
	s.loss, s.bias, s.grad = zeros(s.loss, len(heads)), zeros(s.bias, cols), zeros(s.grad, cols*d)
	s.sum, s.z = zeros(s.sum, cols*d), zeros(s.z, cols*blockRows)
	since := 0
	for lo := s.lo; lo < s.hi; lo += blockRows {
		rows := min(blockRows, s.hi-lo)
		block := x.Values[lo*d : (lo+rows)*d]
		scores(s.z, block, w, rows, cols, d)
		at := 0
		for h, head := range heads {
			n := head.columns()
			z := s.z[at*blockRows : (at+n)*blockRows]
			for c := range n {
				for r := range rows {
					z[c*blockRows+r] += b[at+c]
				}
			}
			s.loss[h] += head.slope(z, lo, rows)
			for c := range n {
				for r := range rows {
					s.bias[at+c] += float64(z[c*blockRows+r])
				}
			}
			at += n
		}
		gather(s.sum, s.z, block, rows, cols, d)
		if since++; since == flushBlocks || lo+blockRows >= s.hi {
			s.flush()
			since = 0
		}
	}
}

// zeros returns n zeros, in old memory if it is large enough.
func zeros[T float32 | float64](old []T, n int) []T {
	if cap(old) < n {
		return make([]T, n)
	}
	old = old[:n]
	clear(old)
	return old
}

func add(dst, src []float64) {
	for i, v := range src {
		dst[i] += v
	}
}

// linearScores returns x w' + b [n, columns] for weights w [columns, d].
func linearScores(x Rows, w, b []float32) []float64 {
	cols := len(b)
	out := make([]float64, x.N*cols)
	newPass(x).each(func(s *stripe) {
		z := make([]float32, cols*blockRows)
		for lo := s.lo; lo < s.hi; lo += blockRows {
			rows := min(blockRows, s.hi-lo)
			scores(z, x.Values[lo*x.D:(lo+rows)*x.D], w, rows, cols, x.D)
			for c := range cols {
				for r := range rows {
					out[(lo+r)*cols+c] = float64(z[c*blockRows+r] + b[c])
				}
			}
		}
	})
	return out
}

// gather fills grad [columns, d] with sum_r z_rc x_r for factors z [n, columns].
func (p *pass) gather(z []float64, cols int, grad []float64) {
	p.each(func(s *stripe) {
		s.grad, s.sum, s.z = zeros(s.grad, len(grad)), zeros(s.sum, len(grad)), zeros(s.z, cols*blockRows)
		for lo := s.lo; lo < s.hi; lo += blockRows {
			rows := min(blockRows, s.hi-lo)
			for c := range cols {
				for r := range rows {
					s.z[c*blockRows+r] = float32(z[(lo+r)*cols+c])
				}
			}
			gather(s.sum, s.z, p.x.Values[lo*p.x.D:(lo+rows)*p.x.D], rows, cols, p.x.D)
			s.flush()
		}
	})
	clear(grad)
	for _, s := range p.parts {
		add(grad, s.grad)
	}
}

// flush adds the float32 sums to the float64 ones.
func (s *stripe) flush() {
	for i, v := range s.sum {
		s.grad[i] += float64(v)
	}
	clear(s.sum)
}
