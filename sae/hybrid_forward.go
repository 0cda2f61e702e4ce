package sae

import "loupe/internal/matmul"

// residual is the gradient at the whole dictionary's reconstruction of row r, 2 main (x^ - x).
func (h *hybrid) residual(r int) []float32 { return h.errAt(len(h.levels)-1, r) }

// errAt is row r of a level's block of err.
func (h *hybrid) errAt(level, r int) []float32 {
	at := level*h.cfg.Batch + r
	return h.err[at*h.w : (at+1)*h.w]
}

// forward decodes every row, leaves in err, for each level, 2 main times the sum of the residuals x^ - x from that level
// on, and the gradients of the kept activations in gAct. It returns the summed squared error of the whole dictionary and
// of all levels, and the number of activations above zero.
func (h *hybrid) forward(in stepInput, main float64) (sse, all, active float64) {
	n := h.cfg.Batch
	clear(h.fired)
	parallel(n, func(_, c, lo, hi int) {
		acc := h.scalar.at(c)
		for r := lo; r < hi; r++ {
			first, _ := h.act.span(r)
			index, value := h.act.Row(r)
			for _, v := range value {
				if v != 0 {
					acc[1]++
				}
			}
			for l := range h.levels {
				e := h.errAt(l, r)
				if l == 0 {
					h.begin(in, r, e)
				} else {
					copy(e, h.errAt(l-1, r))
				}
				at, coef := h.inLevel(l, index, value)
				matmul.AddRows(e, h.p.w.dec, at, coef)
				acc[0] += squaredNorm(e)
			}
			h.rowSSE[r] = squaredNorm(h.residual(r))
			acc[2] += h.rowSSE[r]
			for l := len(h.levels) - 1; l >= 0; l-- {
				e := h.errAt(l, r)
				scaleBy(e, float32(2*main))
				if l+1 < len(h.levels) {
					axpy(1, h.errAt(l+1, r), e)
				}
			}
			for j, i := range index {
				if value[j] != 0 || h.relu != nil {
					h.gAct[first+j] = dot(h.errAt(levelOf(h.levels, i), r), h.decoder(i))
				}
			}
		}
	})
	for j, i := range h.act.Index {
		if h.act.Value[j] != 0 {
			h.fired[i] = true
		}
	}
	var sum [4]float64
	h.scalar.total(n, sum[:])
	return sum[2], sum[0], sum[1]
}

// inLevel returns the latents of a row that a level has and the level before has not, and their activations.
func (h *hybrid) inLevel(level int, index []int32, value []float32) (at []int32, coef []float32) {
	if len(h.levels) == 1 {
		return index, value
	}
	for j, i := range index {
		if levelOf(h.levels, i) == level {
			at, coef = append(at, i), append(coef, value[j])
		}
	}
	return at, coef
}

// begin writes the residual of row r without any latent, b_dec - target.
func (h *hybrid) begin(in stepInput, r int, e []float32) {
	if h.cfg.centres() {
		for j, v := range h.enc.input()[r*h.d : (r+1)*h.d] {
			e[j] = -v
		}
		return
	}
	for j, v := range in.y[r*h.w : (r+1)*h.w] {
		e[j] = h.p.w.bDec[j] - v
	}
}

// raw tells whether AuxK takes pre-activations of any sign, as SAELens does.
func (h *hybrid) raw() bool { return h.cfg.Loss == LossMSE }

// forwardAux lets each row's dead latents, in auxAct, reconstruct the residual x - x^ without b_dec, leaves the gradients
// in the last block of err and in gAux, and returns sum|a - (x - x^)|^2.
func (h *hybrid) forwardAux(coef lossCoef) float64 {
	n, k, raw := h.cfg.Batch, h.auxAct.K, h.raw()
	if len(h.gAux) < n*k {
		h.gAux = make([]float32, n*k)
	}
	parallel(n, func(_, c, lo, hi int) {
		acc := h.scalar.at(c)
		for r := lo; r < hi; r++ {
			index, value := h.auxAct.Row(r)
			a, e := h.errAt(len(h.levels), r), h.residual(r)
			for j := range a {
				a[j] = e[j] * float32(1/(2*coef.main))
			}
			for j, i := range index {
				if !raw && !(value[j] > 0) {
					value[j] = 0
					continue
				}
				axpy(value[j], h.decoder(i), a)
			}
			acc[0] += squaredNorm(a)
			scaleBy(a, float32(2*coef.aux))
			for j, i := range index {
				if raw || value[j] > 0 {
					h.gAux[r*k+j] = dot(a, h.decoder(i))
				}
			}
		}
	})
	var sum [4]float64
	h.scalar.total(n, sum[:])
	return sum[0]
}

// unscale turns scores back into pre-activations.
func (h *hybrid) unscale(l Latents) {
	if !h.cfg.RescaleByDecoder {
		return
	}
	parallel(l.Rows(), func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			index, value := l.Row(r)
			for j, i := range index {
				if value[j] != 0 {
					value[j] /= norm2(h.decoder(i))
				}
			}
		}
	})
}

func (h *hybrid) decoder(i int32) []float32 {
	return h.p.w.dec[int(i)*h.w : (int(i)+1)*h.w]
}

// centre writes the batch, less b_dec unless it is a transcoder's, for the encoder and returns the total variance of
// the target, sum|y - mean y|^2.
func (h *hybrid) centre(in stepInput) float64 {
	n, d, xc := h.cfg.Batch, h.d, h.enc.input()
	if !h.cfg.centres() {
		copy(xc, in.x)
		return h.variance(in.y, 1)
	}
	parallel(n, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			row, src := xc[r*d:(r+1)*d], in.x[r*d:(r+1)*d]
			for j, v := range src {
				row[j] = v - h.p.w.bDec[j]
			}
		}
	})
	return h.variance(xc, 1)
}

// residualVariance returns the total variance of e = g / (2 main) over the rows of the main gradient.
func (h *hybrid) residualVariance(main float64) float64 {
	n := h.cfg.Batch
	last := (len(h.levels) - 1) * n * h.w
	return h.variance(h.err[last:last+n*h.w], 1/(2*main))
}

// variance returns scale^2 * sum|row - mean row|^2 over rows of the output's width.
func (h *hybrid) variance(rows []float32, scale float64) float64 {
	n, w := h.cfg.Batch, h.w
	mean := h.sums(rows)
	for j := range mean {
		mean[j] /= float64(n)
	}
	centre := make([]float32, w)
	for j, m := range mean {
		centre[j] = float32(m)
	}
	parallel(n, func(_, c, lo, hi int) {
		acc, diff := h.scalar.at(c), make([]float32, w)
		for r := lo; r < hi; r++ {
			copy(diff, rows[r*w:(r+1)*w])
			axpy(-1, centre, diff)
			acc[0] += squaredNorm(diff)
		}
	})
	var sum [4]float64
	h.scalar.total(n, sum[:])
	return sum[0] * scale * scale
}

// sums returns the sums of the columns of rows of the output's width.
func (h *hybrid) sums(rows []float32) []float64 {
	n, w := h.cfg.Batch, h.w
	parallel(n, func(_, c, lo, hi int) {
		h.addChunk(h.rowSum.at(c), rows[lo*w:hi*w], h.ones[:hi-lo])
	})
	out := make([]float64, h.rowSum.width)
	h.rowSum.total(n, out)
	return out[:w]
}

// addChunk adds the rows of a chunk, each times its factor, to sum.
func (h *hybrid) addChunk(sum []float64, rows, coef []float32) {
	part := make([]float32, len(rows)/len(coef))
	matmul.AddRows(part, rows, h.count[:len(coef)], coef)
	for j, v := range part {
		sum[j] += float64(v)
	}
}
