package sae

import (
	"math"
	"slices"
)

// batchSelector finds the latents that batchtopk keeps: the n largest scores of a whole batch, of those above zero, and
// all that equal the least of them. It never sorts the batch: one pass counts scores by the upper half of their bits
// (positive floats are ordered as their bits are), a second gathers those that may be kept, and only those of the
// limiting bin are sorted.
type batchSelector struct {
	bins  [][]int32 // for each worker
	total []int64
	parts []active
	edge  []float32
	out   Latents
}

const (
	binShift = 15
	binCount = 1 << (31 - binShift)
)

func newBatchSelector(rows int) *batchSelector {
	return &batchSelector{total: make([]int64, binCount), parts: make([]active, chunks(rows))}
}

// run selects from scores [rows, f] and returns the latents of each row by index, and the smallest kept score, 0 for none.
func (b *batchSelector) run(scores []float32, rows, f, n int) (Latents, float32) {
	b.count(scores, rows, f)
	floor := b.lowest(n)
	b.gather(scores, rows, f, floor)
	return b.keep(b.limit(floor, n))
}

// keep returns the gathered scores from limit up, and the smallest of them.
func (b *batchSelector) keep(limit float32) (Latents, float32) {
	out := &b.out
	out.Start, out.Index, out.Value = append(out.Start[:0], 0), out.Index[:0], out.Value[:0]
	least := float32(0)
	for c := range b.parts {
		part := &b.parts[c]
		for r := range len(part.start) - 1 {
			for j := part.start[r]; j < part.start[r+1]; j++ {
				if v := part.value[j]; v >= limit {
					out.Index, out.Value = append(out.Index, part.index[j]), append(out.Value, v)
					if least == 0 || v < least {
						least = v
					}
				}
			}
			out.Start = append(out.Start, len(out.Index))
		}
	}
	return *out, least
}

// count puts the scores above zero into bins.
func (b *batchSelector) count(scores []float32, rows, f int) {
	for len(b.bins) < workerCount() {
		b.bins = append(b.bins, nil)
	}
	for w := range b.bins {
		clear(b.bins[w])
	}
	parallel(rows, func(worker, _, lo, hi int) {
		if b.bins[worker] == nil {
			b.bins[worker] = make([]int32, binCount)
		}
		bins := b.bins[worker]
		for _, v := range scores[lo*f : hi*f] {
			if v > 0 {
				bins[math.Float32bits(v)>>binShift]++
			}
		}
	})
	clear(b.total)
	for _, bins := range b.bins {
		for i, c := range bins {
			b.total[i] += int64(c)
		}
	}
}

// lowest returns the lower end of the bin that holds the n-th largest score, or the smallest positive number where fewer
// are positive.
func (b *batchSelector) lowest(n int) float32 {
	var above int64
	for i := binCount - 1; i >= 0; i-- {
		if above += b.total[i]; above >= int64(n) {
			return max(math.Float32frombits(uint32(i)<<binShift), math.SmallestNonzeroFloat32)
		}
	}
	return math.SmallestNonzeroFloat32
}

// gather collects the scores from floor up.
func (b *batchSelector) gather(scores []float32, rows, f int, floor float32) {
	parallel(rows, func(_, c, lo, hi int) {
		part := &b.parts[c]
		part.reset()
		for r := lo; r < hi; r++ {
			for i, v := range scores[r*f : (r+1)*f] {
				if v >= floor {
					part.add(int32(i), v)
				}
			}
			part.start = append(part.start, len(part.index))
		}
	})
}

// limit returns the n-th largest of the gathered scores, which is in floor's bin, or floor where there are fewer.
func (b *batchSelector) limit(floor float32, n int) float32 {
	bin := math.Float32bits(floor) >> binShift
	b.edge = b.edge[:0]
	above := 0
	for _, part := range b.parts {
		for _, v := range part.value {
			switch at := math.Float32bits(v) >> binShift; {
			case at == bin:
				b.edge = append(b.edge, v)
			case at > bin:
				above++
			}
		}
	}
	want := n - above // of the bin, from the top
	if want > len(b.edge) || want < 1 {
		return floor
	}
	slices.Sort(b.edge)
	return b.edge[len(b.edge)-want]
}
