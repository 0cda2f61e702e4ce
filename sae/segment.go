package sae

// entries groups the uses of a batch's latents by latent, in row order, by a counting sort. A use is by a row of the batch
// and one of the gradient (B rows for each level, then AuxK's), with an activation and the gradient of the loss with
// respect to the pre-activation.
type entries struct {
	start       []int32 // [F+1]
	row, at     []int32
	value, grad []float32
	theta       []float32 // gradient for the threshold; jumprelu
}

// of returns where the uses of latent i are.
func (l *entries) of(i int) (lo, hi int) { return int(l.start[i]), int(l.start[i+1]) }

// build groups the kept latents of a batch and, with aux, the dead ones. Slots with value 0 are empty, except that an AuxK
// activation may be 0 where negative ones are let through, and an activation is where it has a gradient for a threshold.
func (l *entries) build(h *hybrid, aux bool) {
	f, jumps := h.cfg.DSAE, h.cfg.jumps()
	if len(l.start) != f+1 {
		l.start = make([]int32, f+1)
	}
	clear(l.start)
	count := func(a Latents, all bool) {
		for j, i := range a.Index {
			if all || a.Value[j] != 0 {
				l.start[i+1]++
			}
		}
	}
	count(h.act, jumps)
	if aux {
		count(h.auxAct, h.raw())
	}
	for i := range f {
		l.start[i+1] += l.start[i]
	}
	total := int(l.start[f])
	if cap(l.row) < total {
		l.row, l.at, l.value, l.grad = make([]int32, total), make([]int32, total), make([]float32, total), make([]float32, total)
	}
	l.row, l.at, l.value, l.grad = l.row[:total], l.at[:total], l.value[:total], l.grad[:total]
	if jumps && cap(l.theta) < total {
		l.theta = make([]float32, total)
	}
	if jumps {
		l.theta = l.theta[:total]
	}
	// Placing moves each start to the start of the next latent; afterwards all are shifted back by one.
	rows := h.act.Rows()
	place := func(a Latents, g []float32, aux, all bool) {
		for r := range a.Rows() {
			lo, hi := a.span(r)
			for j := lo; j < hi; j++ {
				i := a.Index[j]
				if all || a.Value[j] != 0 {
					level := len(h.levels)
					if !aux {
						level = levelOf(h.levels, i)
					}
					to := l.start[i]
					l.start[i]++
					l.row[to], l.at[to], l.value[to], l.grad[to] = int32(r), int32(level*rows+r), a.Value[j], g[j]
					if jumps {
						l.theta[to] = h.relu.gTheta[j]
					}
				}
			}
		}
	}
	place(h.act, h.gAct, false, jumps)
	if aux {
		place(h.auxAct, h.gAux, true, h.raw())
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
