package sae

import "math"

// reluStep is what a step of standard or jumprelu needs besides that of the architectures that keep a number of latents:
// every score above its threshold is active, and those near it have a gradient for the threshold (see jumpReLULoss).
type reluStep struct {
	pre    []float32 // pre-activations of the slots
	gTheta []float32 // gradients for the threshold through the slots
	rowL0  []float64 // [B]
	norms  []float32 // [F], of the decoder rows; standard
}

// sparseReLU tells whether the step of standard or jumprelu, from one site to one, can be done from the scores above a
// limit alone: not with a kernel that is nowhere zero, nor with terms that all latents have.
func (c Config) sparseReLU() bool {
	switch c.Arch {
	case ArchStandard, ArchTranscoder:
		return c.LpNorm == 1
	case ArchJumpReLU, ArchJumpReLUTranscoder:
		j := c.JumpReLU
		return j.PreActCoef == 0 && j.Sparsity != SparsityTanh && jumpReach(j.Kernel, j.Bandwidth) > 0
	}
	return false
}

// jumps tells whether latents have thresholds of their own.
func (c Config) jumps() bool { return c.base() == ArchJumpReLU }

// threshold is that of latent i.
func (h *hybrid) threshold(i int32) float32 {
	if !h.cfg.jumps() {
		return 0
	}
	return max(h.p.w.more[0][i], 0)
}

// activate turns the scores of the slots into activations, 0 below the threshold.
func (h *hybrid) activate() {
	s := h.relu
	s.pre = append(s.pre[:0], h.act.Value...)
	if len(s.gTheta) < len(s.pre) {
		s.gTheta = make([]float32, len(s.pre))
	}
	for j, i := range h.act.Index {
		if !(s.pre[j] > h.threshold(i)) {
			h.act.Value[j] = 0
		}
	}
	if !h.cfg.jumps() {
		rowNorms(s.norms, h.p.w.dec, h.w)
	}
}

// sparsity returns the weighted sparsity term and turns gAct, the gradients at the activations, into those at the
// pre-activations; those at the thresholds are left in gTheta.
func (h *hybrid) sparsity(coef float64) float64 {
	s, n := h.relu, h.cfg.Batch
	var total float64
	for r := range n {
		_, value := h.act.Row(r)
		s.rowL0[r] = 0
		for _, v := range value {
			if v != 0 {
				s.rowL0[r]++
			}
		}
		total += s.rowL0[r]
	}
	if !h.cfg.jumps() {
		return h.lasso(coef)
	}
	term, share := jumpSparsity(h.cfg, s.rowL0, total/float64(n))
	parallel(n, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			first, last := h.act.span(r)
			dL0 := float32(coef * share(s.rowL0[r]))
			for j := first; j < last; j++ {
				theta := h.threshold(h.act.Index[j])
				pull := jumpKernel(h.cfg.JumpReLU.Kernel, s.pre[j]-theta, float32(h.cfg.JumpReLU.Bandwidth)) * (theta*h.gAct[j] + dL0)
				s.gTheta[j] = -pull
				if h.act.Value[j] == 0 {
					h.gAct[j] = 0
				}
				if h.cfg.JumpReLU.STEToInput {
					h.gAct[j] += pull
				}
			}
		}
	})
	return coef * term
}

// jumpSparsity returns the sparsity term of a batch, without its coefficient, and the derivative with respect to the L0 of
// a row.
func jumpSparsity(cfg Config, rowL0 []float64, mean float64) (term float64, share func(l0 float64) float64) {
	n, target := float64(len(rowL0)), cfg.TargetL0
	switch cfg.JumpReLU.Sparsity {
	case SparsityQuadratic:
		for _, l0 := range rowL0 {
			term += (l0 - target) * (l0 - target) * 2 / target / n
		}
		return term, func(l0 float64) float64 { return 4 * (l0 - target) / target / n }
	case SparsityTarget:
		off := mean/target - 1
		return off * off, func(float64) float64 { return 2 * off / target / n }
	}
	return mean, func(float64) float64 { return 1 / n }
}

// lasso adds the gradient of coef * mean sum f |W_dec row| to gAct and returns the term.
func (h *hybrid) lasso(coef float64) float64 {
	s, n := h.relu, h.cfg.Batch
	each := coef / float64(n)
	var term float64
	for j, i := range h.act.Index {
		if h.act.Value[j] == 0 {
			continue
		}
		term += float64(h.act.Value[j]) * float64(s.norms[i])
		h.gAct[j] += float32(each) * s.norms[i]
	}
	return each * term
}

// lassoDecoder adds lasso's gradient with respect to latent i's decoder row to g, given the sum of its activations.
func (h *hybrid) lassoDecoder(coef float64, i int, sum float32, g []float32) {
	if norm := h.relu.norms[i]; norm > 0 {
		axpy(float32(coef/float64(h.cfg.Batch))*sum/norm, h.decoder(int32(i)), g)
	}
}

// jumpReach is the distance from the threshold at which a kernel of the bandwidth ends, 0 where it never does.
func jumpReach(kernel string, bw float64) float64 {
	switch kernel {
	case KernelRectangle, KernelTriangular, KernelEpanechnikov, KernelQuartic:
		return bw / 2
	case KernelCosine:
		return bw
	}
	return 0
}

// jumpKernel is jumpKernelGraph of the kernels that end.
func jumpKernel(kernel string, x, bw float32) float32 {
	u := x * 2 / bw
	if kernel == KernelCosine {
		if max(u, -u) < 2 {
			return 0.5 * (1 + float32(math.Cos(math.Pi*float64(x/bw))))
		}
		return 0
	}
	bump := 1 - u*u
	switch {
	case !(max(u, -u) < 1):
		return 0
	case kernel == KernelTriangular:
		return (1 - max(u, -u)) * 2 / bw
	case kernel == KernelEpanechnikov:
		return bump * 0.75 * 2 / bw
	case kernel == KernelQuartic:
		return bump * bump * 15 / 16 * 2 / bw
	}
	return 1 / bw
}
