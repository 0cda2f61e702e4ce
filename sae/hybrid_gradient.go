package sae

import (
	"math"

	"loupe/internal/adam"
	"loupe/internal/matmul"
)

// gradients fills grad from the entries and returns its norm. The gradient of b_dec is the sum of the rows of the
// reconstruction's gradient, less what flows back through x - b_dec: sum_i gb_enc[i] W_enc[:, i]. coef is the weight of the
// sparsity term.
func (h *hybrid) gradients(coef float64) float64 {
	n, d, w, f := h.cfg.Batch, h.d, h.w, h.cfg.DSAE
	centred := h.enc.input()
	direct := h.sums(h.err[:n*w])
	parallel(f, func(_, c, lo, hi int) {
		acc := h.scalar.at(c)
		for i := lo; i < hi; i++ {
			from, to := h.list.of(i)
			h.active[i] = to > from
			h.grad.bEnc[i] = 0
			if h.cfg.jumps() {
				h.grad.more[0][i] = sum32(h.list.theta[from:to])
			}
			if to == from {
				continue
			}
			ge, gd := h.grad.enc[i*d:(i+1)*d], h.grad.dec[i*w:(i+1)*w]
			clear(ge)
			clear(gd)
			matmul.AddRows(gd, h.err, h.list.at[from:to], h.list.value[from:to])
			matmul.AddRows(ge, centred, h.list.row[from:to], h.list.grad[from:to])
			gb := sum32(h.list.grad[from:to])
			h.grad.bEnc[i] = gb
			if h.relu != nil && !h.cfg.jumps() {
				h.lassoDecoder(coef, i, sum32(h.list.value[from:to]), gd)
			}
			if dec := h.decoder(int32(i)); h.cfg.Decoder == DecoderUnit {
				axpy(-dot(gd, dec), dec, gd)
			}
			acc[0] += squaredNorm(ge) + squaredNorm(gd) + float64(gb)*float64(gb)
			if h.cfg.jumps() {
				acc[0] += float64(h.grad.more[0][i]) * float64(h.grad.more[0][i])
			}
		}
		if h.cfg.centres() {
			h.addChunk(h.rowSum.at(c), h.p.w.enc[lo*d:hi*d], h.grad.bEnc[lo:hi])
		}
	})
	var sum [4]float64
	h.scalar.total(f, sum[:])
	back := make([]float64, h.rowSum.width)
	if h.cfg.centres() {
		h.rowSum.total(f, back)
	}
	for j := range direct {
		g := direct[j] - back[j]
		h.grad.bDec[j] = float32(g)
		sum[0] += g * g
	}
	return math.Sqrt(sum[0])
}

// update performs Adam's step on every weight (a latent without gradient still moves by its momentum) and restores
// the decoder's constraint.
func (h *hybrid) update(k adam.Coef) {
	d, wide, f := h.d, h.w, h.cfg.DSAE
	zero := make([]float32, max(d, wide))
	w, m, v, g := h.p.w, h.p.m, h.p.v, h.grad
	parallel(f, func(_, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			a, b := i*d, (i+1)*d
			from, to := i*wide, (i+1)*wide
			ge, gd := zero, zero
			if h.active[i] {
				ge, gd = g.enc[a:b], g.dec[from:to]
			}
			adam.Step(&k, w.enc[a:b], m.enc[a:b], v.enc[a:b], ge)
			adam.Step(&k, w.dec[from:to], m.dec[from:to], v.dec[from:to], gd)
			bound(h.cfg.Decoder, w.dec[from:to])
		}
		adam.Step(&k, w.bEnc[lo:hi], m.bEnc[lo:hi], v.bEnc[lo:hi], g.bEnc[lo:hi])
		if h.cfg.jumps() {
			theta := w.more[0][lo:hi]
			for j, v := range theta {
				theta[j] = max(v, 0)
			}
			adam.Step(&k, theta, m.more[0][lo:hi], v.more[0][lo:hi], g.more[0][lo:hi])
		}
	})
	adam.Step(&k, w.bDec, m.bDec, v.bDec, g.bDec)
}
