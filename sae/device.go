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
	infos []weightInfo
	state []*tensors.Tensor // weights and both moments
	fired []bool
}

func newDevice(b compute.Backend, name string, cfg Config, p params) (*device, error) {
	dense := name == EngineDense
	e := &device{cfg: cfg, infos: layout(cfg), fired: make([]bool, cfg.latents())}
	var err error
	if e.plain, err = NewExec(b, stepGraph(cfg, dense, cfg.transcodes(), false)); err == nil {
		e.aux, err = NewExec(b, stepGraph(cfg, dense, cfg.transcodes(), true))
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
	for _, w := range []weights{p.w, p.m, p.v} {
		for i, data := range w.slices() {
			e.state = append(e.state, tensors.FromFlatDataAndDimensions(data, e.infos[i].shape...))
		}
	}
}

func (e *device) release() {
	for _, t := range e.state {
		_ = t.FinalizeAll()
	}
	e.state = nil
}

func (e *device) replace(p params) error {
	e.load(p)
	return nil
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
		*w = newWeights(e.cfg)
		for j, dst := range w.slices() {
			if err := tensors.ConstFlatData(e.state[len(e.infos)*i+j], func(src []float32) { copy(dst, src) }); err != nil {
				return p, fmt.Errorf("sae: read %s from the device: %w", e.infos[j].name, err)
			}
		}
	}
	return p, nil
}

func (e *device) step(in stepInput) (stepOutput, error) {
	out := stepOutput{fired: e.fired}
	n, d, f := e.cfg.Batch, e.cfg.inWidth(), e.cfg.latents()
	k := adamStep(e.cfg, in.rate, in.t, 1)
	knobs := make([]float32, numKnobs)
	knobs[knobRate], knobs[knobRoot] = k.Rate, k.Root
	knobs[knobAux], knobs[knobCoef] = float32(auxCoef(e.cfg, n, len(in.dead), 0)), float32(in.coef)
	x := tensors.FromFlatDataAndDimensions(in.x, n, d)
	defer x.MustFinalizeAll()
	args := []any{x}
	if e.cfg.transcodes() {
		y := tensors.FromFlatDataAndDimensions(in.y, n, e.cfg.width())
		defer y.MustFinalizeAll()
		args = append(args, y)
	}
	for _, t := range e.state {
		args = append(args, t)
	}
	args = append(args, tensors.FromFlatDataAndDimensions(knobs, len(knobs)))
	exec := e.plain
	if len(in.dead) > 0 && e.cfg.revives() {
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
	size := len(e.state)
	next, stats, fired := res[:size], res[size], res[size+1]
	defer stats.MustFinalizeAll()
	defer fired.MustFinalizeAll()
	err = tensors.ConstFlatData(stats, func(s []float32) {
		out.loss, out.aux, out.sparsity = float64(s[statLoss]), float64(s[statAux]), float64(s[statSparsity])
		out.mse, out.variance = float64(s[statSSE])/float64(n), float64(s[statVariance])/float64(n)
		out.l0, out.gradNorm = float64(s[statActive])/float64(n), float64(s[statGradNorm])
		out.near = float64(s[statNear]) / float64(n)
		more, sites := s[numStats:], e.cfg.outSites()
		take := func(count, by int) []float64 {
			out := make([]float64, count)
			for i, v := range more[:count] {
				out[i] = float64(v) / float64(by)
			}
			more = more[count:]
			return out
		}
		out.siteMSE, out.siteVar = take(sites, n), take(sites, n)
		out.least = take(e.cfg.selections(), 1)
		out.rowSSE = take(n, 1)
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
		return out, checkFinite(e.cfg, in, out, p.w)
	}
	e.release()
	e.state = append(e.state, next...)
	return out, nil
}
