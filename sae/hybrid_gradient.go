package sae

import "math"

// gradients fills grad from the entries and returns its norm. The gradient of b_dec is the sum of the rows of the
// reconstruction's gradient, less what flows back through x - b_dec: sum_i gb_enc[i] W_enc[:, i].
func (h *hybrid) gradients() float64 {
	n, d, f := h.cfg.Batch, h.cfg.DIn, h.cfg.DSAE
	parallel(n, func(_, c, lo, hi int) {
		sum := h.rowSum.at(c)
		for r := lo; r < hi; r++ {
			for j, v := range h.err[r*d : (r+1)*d] {
				sum[j] += float64(v)
			}
		}
	})
	direct := make([]float64, d)
	h.rowSum.total(n, direct)
	parallel(f, func(_, c, lo, hi int) {
		acc, back := h.scalar.at(c), h.rowSum.at(c)
		for i := lo; i < hi; i++ {
			es := h.list.of(i)
			h.active[i] = len(es) > 0
			h.grad.bEnc[i] = 0
			if len(es) == 0 {
				continue
			}
			ge, gd := h.grad.enc[i*d:(i+1)*d], h.grad.dec[i*d:(i+1)*d]
			clear(ge)
			clear(gd)
			var gb float32
			for _, e := range es {
				at, src := int(e.row), int(e.row)%n
				axpy(e.value, h.err[at*d:(at+1)*d], gd)
				axpy(e.grad, h.centred[src*d:(src+1)*d], ge)
				gb += e.grad
			}
			h.grad.bEnc[i] = gb
			w := h.p.w.dec[i*d : (i+1)*d]
			if h.cfg.Decoder == DecoderUnit {
				axpy(-dot(gd, w), w, gd)
			}
			acc[0] += squaredNorm(ge) + squaredNorm(gd) + float64(gb)*float64(gb)
			for j, v := range h.p.w.enc[i*d : (i+1)*d] {
				back[j] += float64(gb) * float64(v)
			}
		}
	})
	var sum [4]float64
	h.scalar.total(f, sum[:])
	back := make([]float64, d)
	h.rowSum.total(f, back)
	for j := range back {
		g := direct[j] - back[j]
		h.grad.bDec[j] = float32(g)
		sum[0] += g * g
	}
	return math.Sqrt(sum[0])
}

// update performs Adam's step on every weight (a latent without gradient still moves by its momentum) and restores
// the decoder's constraint.
func (h *hybrid) update(k adamCoef) {
	d, f := h.cfg.DIn, h.cfg.DSAE
	zero := make([]float32, d)
	w, m, v, g := h.p.w, h.p.m, h.p.v, h.grad
	parallel(f, func(_, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			a, b := i*d, (i+1)*d
			ge, gd := zero, zero
			if h.active[i] {
				ge, gd = g.enc[a:b], g.dec[a:b]
			}
			adam(&k, w.enc[a:b], m.enc[a:b], v.enc[a:b], ge)
			adam(&k, w.dec[a:b], m.dec[a:b], v.dec[a:b], gd)
			bound(h.cfg.Decoder, w.dec[a:b])
		}
		adam(&k, w.bEnc[lo:hi], m.bEnc[lo:hi], v.bEnc[lo:hi], g.bEnc[lo:hi])
	})
	adam(&k, w.bDec, m.bDec, v.bDec, g.bDec)
}
