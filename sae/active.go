package sae

import "slices"

// active collects the active latents of rows, one row after another.
type active struct {
	index []int32
	value []float32
	start []int // of each row so far; the last is where the row in hand began

	topIndex []int32
	topValue []float32
	size     []float32
}

func (a *active) reset() {
	a.index, a.value, a.start = a.index[:0], a.value[:0], append(a.start[:0], 0)
}

func (a *active) add(i int32, v float32) {
	a.index, a.value = append(a.index, i), append(a.value, v)
}

// endRow closes the row in hand, with its latents in falling order of magnitude, equal ones by index.
func (a *active) endRow() {
	lo := a.start[len(a.start)-1]
	sortLatents(a.index[lo:], a.value[lo:])
	a.start = append(a.start, len(a.index))
}

// scratch returns memory for a selection of k.
func (a *active) scratch(k int) ([]int32, []float32) {
	if cap(a.topIndex) < k {
		a.topIndex, a.topValue = make([]int32, k), make([]float32, k)
	}
	return a.topIndex[:k], a.topValue[:k]
}

// magnitudes returns |h|, valid until the next call.
func (a *active) magnitudes(h []float32) []float32 {
	a.size = append(a.size[:0], h...)
	for i, v := range a.size {
		if v < 0 {
			a.size[i] = -v
		}
	}
	return a.size
}

// appendTo appends the rows to l.
func (a *active) appendTo(l *Latents) {
	base := len(l.Index)
	l.Index, l.Value = append(l.Index, a.index...), append(l.Value, a.value...)
	for _, at := range a.start[1:] {
		l.Start = append(l.Start, base+at)
	}
}

// sortLatents sorts a row's latents by falling magnitude, equal ones by index.
func sortLatents(index []int32, value []float32) {
	type slot struct {
		i int32
		v float32
	}
	slots := make([]slot, len(index))
	for j, i := range index {
		slots[j] = slot{i, value[j]}
	}
	slices.SortFunc(slots, func(a, b slot) int {
		if dropsFirst(max(a.v, -a.v), a.i, max(b.v, -b.v), b.i) {
			return 1
		}
		return -1
	})
	for j, s := range slots {
		index[j], value[j] = s.i, s.v
	}
}
