package sae

import (
	"fmt"
	"math"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// device performs whole steps as one backend program, with the parameters kept on the device. The program with AuxK
// is a second one, compiled when the first latent dies.
type device struct {
	cfg   Config
	plain *Exec
	aux   *Exec
	state []*tensors.Tensor // weights and moments, 12 tensors
	fired []bool
}

func newDevice(b compute.Backend, name string, cfg Config, p params) (*device, error) {
	dense := name == EngineDense
	e := &device{cfg: cfg, fired: make([]bool, cfg.DSAE)}
	var err error
	if e.plain, err = NewExec(b, stepGraph(cfg, dense, false)); err == nil {
		e.aux, err = NewExec(b, stepGraph(cfg, dense, true))
	}
	if err != nil {
		return nil, fmt.Errorf("sae: build the training step: %w", err)
	}
	e.load(p)
	return e, nil
}

// load replaces the parameters.
func (e *device) load(p params) {
	e.release()
	d, f := e.cfg.DIn, e.cfg.DSAE
	for _, w := range []weights{p.w, p.m, p.v} {
		e.state = append(e.state,
			tensors.FromFlatDataAndDimensions(w.enc, f, d), tensors.FromFlatDataAndDimensions(w.dec, f, d),
			tensors.FromFlatDataAndDimensions(w.bEnc, f), tensors.FromFlatDataAndDimensions(w.bDec, d))
	}
}

func (e *device) release() {
	for _, t := range e.state {
		_ = t.FinalizeAll()
	}
	e.state = nil
}

func (e *device) close() {
	e.release()
	for _, x := range []*Exec{e.plain, e.aux} {
		if x != nil {
			x.Finalize()
		}
	}
}

func (e *device) snapshot() (params, error) {
	var p params
	for i, w := range []*weights{&p.w, &p.m, &p.v} {
		*w = newWeights(e.cfg.DIn, e.cfg.DSAE)
		for j, dst := range w.slices() {
			if err := tensors.ConstFlatData(e.state[4*i+j], func(src []float32) { copy(dst, src) }); err != nil {
				return p, fmt.Errorf("sae: read %s from the device: %w", weightNames[j], err)
			}
		}
	}
	return p, nil
}

func (e *device) step(in stepInput) (stepOutput, error) {
	out := stepOutput{fired: e.fired}
	n, d, f := e.cfg.Batch, e.cfg.DIn, e.cfg.DSAE
	k := adamStep(e.cfg, in.rate, in.t, 1)
	knobs := []float32{k.rate, k.root, float32(auxCoef(e.cfg, n, len(in.dead), 0))}
	x := tensors.FromFlatDataAndDimensions(in.x, n, d)
	defer x.MustFinalizeAll()
	args := []any{x}
	for _, t := range e.state {
		args = append(args, t)
	}
	args = append(args, tensors.FromFlatDataAndDimensions(knobs, len(knobs)))
	exec := e.plain
	if len(in.dead) > 0 && e.cfg.AuxCoef > 0 {
		exec = e.aux
		mask := make([]float32, f)
		for _, i := range in.dead {
			mask[i] = 1
		}
		args = append(args, tensors.FromFlatDataAndDimensions(mask, f))
	}
	res, err := exec.Call(args...)
	if err != nil {
		return out, fmt.Errorf("sae: training step: %w", err)
	}
	next, stats, fired := res[:12], res[12], res[13]
	defer stats.MustFinalizeAll()
	defer fired.MustFinalizeAll()
	err = tensors.ConstFlatData(stats, func(s []float32) {
		out.loss, out.aux = float64(s[statLoss]), float64(s[statAux])
		out.mse, out.variance = float64(s[statSSE])/float64(n), float64(s[statVariance])/float64(n)
		out.l0, out.gradNorm = float64(s[statActive])/float64(n), float64(s[statGradNorm])
	})
	if err == nil {
		err = tensors.ConstFlatData(fired, func(s []float32) {
			for i, v := range s {
				e.fired[i] = v > 0
			}
		})
	}
	if err != nil {
		return out, fmt.Errorf("sae: read the step's results: %w", err)
	}
	if math.IsNaN(out.loss+out.gradNorm) || math.IsInf(out.loss+out.gradNorm, 0) {
		for _, t := range next {
			_ = t.FinalizeAll()
		}
		p, err := e.snapshot()
		if err != nil {
			return out, err
		}
		return out, checkFinite(in, out, p.w)
	}
	e.release()
	e.state = append(e.state, next...)
	return out, nil
}
