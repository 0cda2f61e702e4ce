package sae

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// hybrid computes the encoder product on the backend and the rest in Go: selection, decoding, the gradients of the
// few latents that a row touches, and Adam. Work per token is 2dF for the encoder and about 10kd for the rest.
type hybrid struct {
	cfg  Config
	p    params
	exec *Exec

	xc, wEnc, bEnc, norm *tensors.Tensor // [B, d], [d, F], [F], [F]: the encoder's inputs, shared with the backend
	centred              []float32       // xc's values

	batch  *batchSelector // of batchtopk; nil: k latents of each row
	act    Latents        // the kept latents
	gAct   []float32
	auxAct Latents // the dead latents of AuxK, [B, k_aux] in steps that have any
	gAux   []float32
	levels []int     // sizes of the prefixes that have a squared error of their own; the last is F
	err    []float32 // [(levels+1) B, d]: for each level the sum of the gradients at the reconstructions from it on, then AuxK's
	grad   weights
	active []bool // latents with an entry in this step
	fired  []bool
	rowSSE []float64 // squared error of each row
	list   entries
	rowSum *chunkSums // [d] per chunk of rows or latents
	scalar *chunkSums // a few numbers per chunk
}

func newHybrid(b compute.Backend, cfg Config, p params) (*hybrid, error) {
	d, f, n := cfg.DIn, cfg.DSAE, cfg.Batch
	h := &hybrid{
		cfg:  cfg,
		p:    params{w: p.w.clone(), m: p.m.clone(), v: p.v.clone()},
		act:  newLatents(n, cfg.K),
		gAct: make([]float32, n*cfg.K), levels: cfg.levels(),
		grad: newWeights(cfg), active: make([]bool, f), fired: make([]bool, f), rowSSE: make([]float64, n),
		rowSum: newChunkSums(max(n, f), d), scalar: newChunkSums(max(n, f), 4),
	}
	h.err = make([]float32, (len(h.levels)+1)*n*d)
	if cfg.byBatch() {
		h.batch = newBatchSelector(n)
	}
	exec, err := newEncoderExec(b, cfg.RescaleByDecoder)
	if err != nil {
		return nil, err
	}
	h.exec = exec
	for _, t := range []struct {
		at   **tensors.Tensor
		dims []int
	}{{&h.xc, []int{n, d}}, {&h.wEnc, []int{d, f}}, {&h.bEnc, []int{f}}, {&h.norm, []int{f}}} {
		if *t.at, err = tensors.FromShapeForBackend(b, 0, shapes.Make(dtypes.Float32, t.dims...)); err != nil {
			h.close()
			return nil, fmt.Errorf("sae: allocate %v on the backend: %w", t.dims, err)
		}
	}
	if err := h.publish(); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *hybrid) close() {
	if h.exec != nil {
		h.exec.Finalize()
	}
	for _, t := range []*tensors.Tensor{h.xc, h.wEnc, h.bEnc, h.norm} {
		if t != nil {
			_ = t.FinalizeAll()
		}
	}
}

func (h *hybrid) replace(p params) error {
	h.p = params{w: p.w.clone(), m: p.m.clone(), v: p.v.clone()}
	return h.publish()
}

func (h *hybrid) snapshot() (params, error) { return h.p, nil }

// publish writes the encoder's weights into the tensors that the backend reads.
func (h *hybrid) publish() error {
	d, f := h.cfg.DIn, h.cfg.DSAE
	if err := tensors.MutableFlatData(h.wEnc, func(dst []float32) { transpose(dst, h.p.w.enc, f, d) }); err != nil {
		return fmt.Errorf("sae: write W_enc for the backend: %w", err)
	}
	if err := tensors.MutableFlatData(h.bEnc, func(dst []float32) { copy(dst, h.p.w.bEnc) }); err != nil {
		return fmt.Errorf("sae: write b_enc for the backend: %w", err)
	}
	if !h.cfg.RescaleByDecoder {
		return nil
	}
	return tensors.MutableFlatData(h.norm, func(dst []float32) { rowNorms(dst, h.p.w.dec, d) })
}

func (h *hybrid) step(in stepInput) (stepOutput, error) {
	n := h.cfg.Batch
	out := stepOutput{fired: h.fired, rowSSE: h.rowSSE}
	err := tensors.MutableFlatData(h.xc, func(xc []float32) {
		out.variance = h.centre(xc, in.x)
		h.centred = xc
	})
	if err != nil {
		return out, fmt.Errorf("sae: write the batch for the backend: %w", err)
	}
	args := []any{h.xc, h.wEnc, h.bEnc}
	if h.cfg.RescaleByDecoder {
		args = append(args, h.norm)
	}
	scores, err := h.exec.Call1(args...)
	if err != nil {
		return out, fmt.Errorf("sae: encode: %w", err)
	}
	defer scores.MustFinalizeAll()
	var sse, all, auxSSE float64 // of the whole dictionary, of all levels, of AuxK
	coef := lossCoef{main: mainCoef(h.cfg, n, out.variance)}
	aux := len(in.dead) > 0 && h.cfg.AuxCoef > 0 && coef.main > 0
	err = tensors.ConstFlatData(scores, func(s []float32) {
		out.least = []float64{h.choose(s)}
		sse, all, out.l0 = h.forward(coef.main)
		if aux {
			coef.aux = auxCoef(h.cfg, n, len(in.dead), h.residualVariance(coef.main))
			auxSSE = h.forwardAux(s, in.dead, coef)
		}
	})
	if err != nil {
		return out, fmt.Errorf("sae: read the encoder's output: %w", err)
	}
	out.mse, out.l0, out.variance = sse/float64(n), out.l0/float64(n), out.variance/float64(n)
	out.aux = coef.aux * auxSSE
	out.loss = coef.main*all + out.aux

	h.list.build(h.cfg.DSAE, h.levels, h.act, h.gAct, h.auxAct, h.gAux, aux, h.cfg.Loss == LossMSE)
	out.gradNorm = h.gradients()
	if err := checkFinite(h.cfg, in, out, h.p.w); err != nil {
		return out, err
	}
	h.update(adamStep(h.cfg, in.rate, in.t, clipScale(h.cfg.Clip, out.gradNorm)))
	return out, h.publish()
}

// centre writes x - b_dec into xc and returns the total variance of x, sum|x - mean x|^2.
func (h *hybrid) centre(xc, x []float32) float64 {
	n, d, b := h.cfg.Batch, h.cfg.DIn, h.p.w.bDec
	parallel(n, func(_, c, lo, hi int) {
		sum := h.rowSum.at(c)
		for r := lo; r < hi; r++ {
			row, src := xc[r*d:(r+1)*d], x[r*d:(r+1)*d]
			for j, v := range src {
				row[j] = v - b[j]
				sum[j] += float64(row[j])
			}
		}
	})
	return h.variance(xc, 1)
}

// residualVariance returns the total variance of e = g / (2 main) over the rows of the main gradient.
func (h *hybrid) residualVariance(main float64) float64 {
	n, d := h.cfg.Batch, h.cfg.DIn
	parallel(n, func(_, c, lo, hi int) {
		sum := h.rowSum.at(c)
		for r := lo; r < hi; r++ {
			for j, v := range h.residual(r) {
				sum[j] += float64(v)
			}
		}
	})
	last := (len(h.levels) - 1) * n * d
	return h.variance(h.err[last:last+n*d], 1/(2*main))
}

// variance returns scale^2 * sum|row - mean row|^2 over the rows whose chunk sums are in rowSum.
func (h *hybrid) variance(rows []float32, scale float64) float64 {
	n, d := h.cfg.Batch, h.cfg.DIn
	mean := make([]float64, d)
	h.rowSum.total(n, mean)
	for j := range mean {
		mean[j] /= float64(n)
	}
	parallel(n, func(_, c, lo, hi int) {
		acc := h.scalar.at(c)
		for r := lo; r < hi; r++ {
			for j, v := range rows[r*d : (r+1)*d] {
				diff := float64(v) - mean[j]
				acc[0] += diff * diff
			}
		}
	})
	var sum [4]float64
	h.scalar.total(n, sum[:])
	return sum[0] * scale * scale
}

// choose leaves the kept latents in act, with their pre-activations; slots that are not above zero are empty. It returns
// the smallest active score of the batch, for batchtopk alone.
func (h *hybrid) choose(scores []float32) (least float64) {
	n, f := h.cfg.Batch, h.cfg.DSAE
	if h.batch != nil {
		var low float32
		h.act, low = h.batch.run(scores, n, f, h.cfg.batchK())
		least = float64(low)
		if len(h.gAct) < len(h.act.Index) {
			h.gAct = make([]float32, len(h.act.Index))
		}
	}
	parallel(n, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			index, value := h.act.Row(r)
			if h.batch == nil {
				topK(scores[r*f:(r+1)*f], index, value)
			}
			for j, i := range index {
				if !(value[j] > 0) {
					value[j] = 0
					continue
				}
				value[j] = h.unscale(value[j], i)
			}
		}
	})
	return least
}

// residual is the gradient at the whole dictionary's reconstruction of row r, 2 main (x^ - x).
func (h *hybrid) residual(r int) []float32 { return h.errAt(len(h.levels)-1, r) }

// errAt is row r of a level's block of err.
func (h *hybrid) errAt(level, r int) []float32 {
	at := level*h.cfg.Batch + r
	return h.err[at*h.cfg.DIn : (at+1)*h.cfg.DIn]
}

// forward decodes every row, leaves in err, for each level, 2 main times the sum of the residuals x^ - x from that level
// on, and the gradients of the kept activations in gAct. It returns the summed squared error of the whole dictionary and
// of all levels, and the number of activations above zero.
func (h *hybrid) forward(main float64) (sse, all, active float64) {
	n, d := h.cfg.Batch, h.cfg.DIn
	clear(h.fired)
	parallel(n, func(_, c, lo, hi int) {
		acc := h.scalar.at(c)
		for r := lo; r < hi; r++ {
			first, _ := h.act.span(r)
			index, value := h.act.Row(r)
			from := 0
			for l, width := range h.levels {
				e := h.errAt(l, r)
				if l == 0 {
					for j, v := range h.centred[r*d : (r+1)*d] {
						e[j] = -v
					}
				} else {
					copy(e, h.errAt(l-1, r))
					from = h.levels[l-1]
				}
				for j, i := range index {
					if value[j] != 0 && int(i) >= from && int(i) < width {
						acc[1]++
						axpy(value[j], h.decoder(i), e)
					}
				}
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
				if value[j] > 0 {
					h.gAct[first+j] = dot(h.errAt(levelOf(h.levels, i), r), h.decoder(i))
				}
			}
		}
	})
	for j, i := range h.act.Index {
		if h.act.Value[j] > 0 {
			h.fired[i] = true
		}
	}
	var sum [4]float64
	h.scalar.total(n, sum[:])
	return sum[2], sum[0], sum[1]
}

// forwardAux lets each row's largest dead latents reconstruct the residual x - x^ without b_dec, leaves the gradients
// in the second half of err and in gAux, and returns sum|a - (x - x^)|^2.
func (h *hybrid) forwardAux(scores []float32, dead []int32, coef lossCoef) float64 {
	n, f := h.cfg.Batch, h.cfg.DSAE
	k := min(h.cfg.AuxK, len(dead))
	if h.auxAct.K != k {
		h.auxAct = newLatents(n, k)
		h.gAux = make([]float32, n*k)
	}
	raw := h.cfg.Loss == LossMSE // SAELens lets negative pre-activations through
	parallel(n, func(_, c, lo, hi int) {
		acc := h.scalar.at(c)
		for r := lo; r < hi; r++ {
			index, value := h.auxAct.Row(r)
			topKAmong(scores[r*f:(r+1)*f], dead, index, value)
			a, e := h.errAt(len(h.levels), r), h.residual(r)
			for j := range a {
				a[j] = e[j] * float32(1/(2*coef.main))
			}
			for j, i := range index {
				if !raw && !(value[j] > 0) {
					value[j] = 0
					continue
				}
				value[j] = h.unscale(value[j], i)
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

// unscale turns a score back into a pre-activation.
func (h *hybrid) unscale(score float32, i int32) float32 {
	if !h.cfg.RescaleByDecoder {
		return score
	}
	return score / norm2(h.decoder(i))
}

func (h *hybrid) decoder(i int32) []float32 {
	d := h.cfg.DIn
	return h.p.w.dec[int(i)*d : (int(i)+1)*d]
}
