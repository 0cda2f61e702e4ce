package sae

// entry is one use of a latent: by which row of the gradient (B rows for each level, then AuxK's), with which activation, and
// the gradient of the loss with respect to its pre-activation.
type entry struct {
	row         int32
	value, grad float32
}

// entries groups the uses of a batch by latent, in row order, by a counting sort.
type entries struct {
	start []int32 // [F+1]
	all   []entry
}

// of returns the uses of latent i.
func (l *entries) of(i int) []entry { return l.all[l.start[i]:l.start[i+1]] }

// build groups the kept latents of a batch and, with aux, the dead ones. Slots with value 0 are empty, except that
// with raw an AuxK activation may be anything.
func (l *entries) build(f int, levels []int, act Latents, gAct []float32, auxAct Latents, gAux []float32, aux, raw bool) {
	if len(l.start) != f+1 {
		l.start = make([]int32, f+1)
	}
	clear(l.start)
	count := func(a Latents, all bool) {
		for j, i := range a.Index {
			if all || a.Value[j] > 0 {
				l.start[i+1]++
			}
		}
	}
	count(act, false)
	if aux {
		count(auxAct, raw)
	}
	for i := range f {
		l.start[i+1] += l.start[i]
	}
	total := int(l.start[f])
	if cap(l.all) < total {
		l.all = make([]entry, total)
	}
	l.all = l.all[:total]
	// Placing moves each start to the start of the next latent; afterwards all are shifted back by one.
	rows := act.Rows()
	place := func(a Latents, g []float32, aux, all bool) {
		for r := range a.Rows() {
			lo, hi := a.span(r)
			for j := lo; j < hi; j++ {
				i := a.Index[j]
				if all || a.Value[j] > 0 {
					level := len(levels)
					if !aux {
						level = levelOf(levels, i)
					}
					l.all[l.start[i]] = entry{row: int32(level*rows + r), value: a.Value[j], grad: g[j]}
					l.start[i]++
				}
			}
		}
	}
	place(act, gAct, false, false)
	if aux {
		place(auxAct, gAux, true, raw)
	}
	copy(l.start[1:], l.start[:f])
	l.start[0] = 0
}

// levelOf returns the first level whose prefix holds latent i.
func levelOf(levels []int, i int32) int {
	for l, width := range levels {
		if int(i) < width {
			return l
		}
	}
	return len(levels) - 1
}
