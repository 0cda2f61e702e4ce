package sae

import (
	"math"
	"sync"
	"sync/atomic"
)

// tileBatch finds the latents that batchtopk keeps, with [batchSelector]'s rule. It knows a lower bound of the limit, the
// n-th largest of the scores seen so far, which rises with every block; only scores from it on are held, about
// n ln(blocks) of them. The first bound is guessed from the last batch's limit. Where the guess was too high, fewer than n
// scores are found and the pass is repeated without it, so that the result does not depend on it.
type tileBatch struct {
	selector *batchSelector
	n        int
	found    [][]candidate // of each block
	bound    atomic.Uint32 // its bits
	guess    float32
	mu       sync.Mutex
	seen     int
}

// candidate is a score that may be kept.
type candidate struct {
	row, index int32
	score      float32
}

func newTileBatch(rows, blocks, n int) *tileBatch {
	return &tileBatch{
		selector: &batchSelector{total: make([]int64, binCount), parts: make([]active, blocks)},
		n:        n, found: make([][]candidate, blocks),
	}
}

// run calls pass, which must show every tile, and returns the kept latents and the smallest kept score, 0 for none.
func (s *tileBatch) run(pass func()) (Latents, float32) {
	for {
		clear(s.selector.total)
		s.seen = 0
		s.bound.Store(math.Float32bits(s.guess))
		pass()
		if s.seen >= s.n || s.guess == 0 {
			break
		}
		s.guess = 0
	}
	limit := s.selector.limit(s.selector.lowest(s.n), s.n)
	s.guess = 0.9 * limit
	return s.selector.keep(limit)
}

// begin sets the limits to the largest number below the bound, since scores equal to it are wanted.
func (s *tileBatch) begin(block, _ int, limits []float32) {
	s.found[block] = s.found[block][:0]
	v := math.Float32frombits(s.bound.Load())
	if v > 0 {
		v = math.Nextafter32(v, 0)
	}
	for r := range limits {
		limits[r] = v
	}
}

func (s *tileBatch) take(block, row, col int, t *tile, _ []float32) {
	s.found[block] = t.appendHits(s.found[block], row, col)
}

// end groups a block's scores by row, where they come in order of index, and raises the bound.
func (s *tileBatch) end(block, lo, hi int) {
	found, part := s.found[block], &s.selector.parts[block]
	part.group(found, lo, hi)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen += len(found)
	for _, c := range found {
		s.selector.total[math.Float32bits(c.score)>>binShift]++
	}
	if s.seen >= s.n {
		s.bound.Store(math.Float32bits(max(s.selector.lowest(s.n), s.guess)))
	}
}

// group replaces what a holds by scores of rows lo to hi.
func (a *active) group(found []candidate, lo, hi int) {
	a.start = append(a.start[:0], make([]int, hi-lo+1)...)
	for _, c := range found {
		a.start[int(c.row)-lo+1]++
	}
	for r := range hi - lo {
		a.start[r+1] += a.start[r]
	}
	if cap(a.index) < len(found) {
		a.index, a.value = make([]int32, len(found)), make([]float32, len(found))
	}
	a.index, a.value = a.index[:len(found)], a.value[:len(found)]
	for _, c := range found { // each start moves to the next row's; afterwards all are moved back by one
		at := &a.start[int(c.row)-lo]
		a.index[*at], a.value[*at] = c.index, c.score
		*at++
	}
	copy(a.start[1:], a.start[:hi-lo])
	a.start[0] = 0
}
