package sae

import (
	"github.com/gomlx/compute"
)

// hybrid computes the encoder product on the backend or, as engine "host", tile by tile in Go, and the rest in Go:
// selection, decoding, the gradients of the few latents that a row touches, and Adam. Work per token is 2dF for the
// encoder and about 10kd for the rest.
type hybrid struct {
	cfg  Config
	d, w int // widths of the input and of the output
	p    params
	enc  encoder

	act    Latents // the kept latents
	gAct   []float32
	auxAct Latents // the dead latents of AuxK, [B, k_aux] in steps that have any
	gAux   []float32
	levels []int     // sizes of the prefixes that have a squared error of their own; the last is F
	err    []float32 // [(levels+1) B, w]: for each level the sum of the gradients at the reconstructions from it on, then AuxK's
	grad   weights
	active []bool // latents with an entry in this step
	fired  []bool
	rowSSE []float64 // squared error of each row
	list   entries
	relu   *reluStep  // of standard and jumprelu
	rowSum *chunkSums // [max(d, w)] per chunk of rows or latents
	scalar *chunkSums // a few numbers per chunk
	count  [chunkRows]int32
	ones   [chunkRows]float32
}

// newHybrid makes the engine with its encoder on backend b or, with host, in Go.
func newHybrid(b compute.Backend, cfg Config, p params, host bool) (*hybrid, error) {
	d, w, f, n := cfg.inWidth(), cfg.width(), cfg.DSAE, cfg.Batch
	h := &hybrid{
		cfg: cfg, d: d, w: w, levels: cfg.levels(),
		p:    p,
		grad: newWeights(cfg), active: make([]bool, f), fired: make([]bool, f), rowSSE: make([]float64, n),
		rowSum: newChunkSums(max(n, f), max(d, w)), scalar: newChunkSums(max(n, f), 4),
	}
	for i := range h.count {
		h.count[i], h.ones[i] = int32(i), 1
	}
	if cfg.sparseReLU() {
		h.relu = &reluStep{rowL0: make([]float64, n), norms: make([]float32, f)}
	}
	h.err = make([]float32, (len(h.levels)+1)*n*w)
	if host {
		h.enc = newTileEncoder(cfg)
	} else {
		enc, err := newBackendEncoder(b, cfg)
		if err != nil {
			return nil, err
		}
		h.enc = enc
	}
	if err := h.enc.publish(h.p.w); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *hybrid) close() { h.enc.close() }

func (h *hybrid) replace(p params) error {
	h.p = p.clone()
	return h.enc.publish(h.p.w)
}

func (h *hybrid) snapshot() (params, error) { return h.p, nil }

func (h *hybrid) step(in stepInput) (stepOutput, error) {
	n := h.cfg.Batch
	out := stepOutput{fired: h.fired, rowSSE: h.rowSSE}
	out.variance = h.centre(in)
	var least float64
	var err error
	if h.act, least, err = h.enc.choose(); err != nil {
		return out, err
	}
	out.least = []float64{least}
	h.unscale(h.act)
	if h.relu != nil {
		h.activate()
	}
	if len(h.gAct) < len(h.act.Index) {
		h.gAct = make([]float32, len(h.act.Index))
	}
	coef := lossCoef{main: mainCoef(h.cfg, n, out.variance)}
	sse, all, l0 := h.forward(in, coef.main) // of the whole dictionary, of all levels
	var auxSSE float64
	if h.relu != nil {
		out.sparsity = h.sparsity(in.coef)
	}
	aux := len(in.dead) > 0 && h.cfg.revives() && coef.main > 0
	if aux {
		coef.aux = auxCoef(h.cfg, n, len(in.dead), h.residualVariance(coef.main))
		if h.auxAct, err = h.enc.among(h.p.w, in.dead, min(h.cfg.AuxK, len(in.dead))); err != nil {
			return out, err
		}
		h.unscale(h.auxAct)
		auxSSE = h.forwardAux(coef)
	}
	out.mse, out.l0, out.variance = sse/float64(n), l0/float64(n), out.variance/float64(n)
	out.aux = coef.aux * auxSSE
	out.loss = coef.main*all + out.aux + out.sparsity
	out.near = float64(len(h.act.Index)) / float64(n)

	h.list.build(h, aux)
	out.gradNorm = h.gradients(in.coef)
	if err := checkFinite(h.cfg, in, out, h.p.w); err != nil {
		return out, err
	}
	h.update(adamStep(h.cfg, in.rate, in.t, clipScale(h.cfg.Clip, out.gradNorm)))
	return out, h.enc.publish(h.p.w)
}
