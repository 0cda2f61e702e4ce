package sae

import "github.com/gomlx/compute"

// adaptive is the host engine of standard and jumprelu, whose latents are nearly all active at first: steps are those of
// the dense program until few latents have a gradient, and then the sparse ones in Go. Which it is depends on the step
// before alone, so that a resumed run takes the same steps.
type adaptive struct {
	b     compute.Backend
	cfg   Config
	first params  // before the first step
	dense *device // keeps its programs while host is in use
	host  *hybrid // nil: dense is in use
}

// sparseShare is the share of the latents of a row with a gradient up to which the sparse step is taken. At a sixth the
// two cost the same on two cores; the sparse one needs memory for each.
const sparseShare = 1.0 / 16

func newAdaptive(b compute.Backend, cfg Config, p params) *adaptive {
	return &adaptive{b: b, cfg: cfg, first: p}
}

func (e *adaptive) step(in stepInput) (stepOutput, error) {
	cur, err := e.use(in.near <= sparseShare*float64(e.cfg.DSAE))
	if err != nil {
		return stepOutput{}, err
	}
	return cur.step(in)
}

// use returns the engine of the sparse or of the dense step, with the parameters.
func (e *adaptive) use(sparse bool) (engine, error) {
	switch {
	case sparse && e.host != nil:
		return e.host, nil
	case !sparse && e.host == nil && e.dense != nil:
		return e.dense, nil
	}
	p, err := e.snapshot()
	if err != nil {
		return nil, err
	}
	e.first = params{}
	if sparse {
		if e.dense != nil {
			e.dense.release()
		}
		e.host, err = newHybrid(e.b, e.cfg, p, true)
		return e.host, err
	}
	e.host = nil
	if e.dense != nil {
		e.dense.load(p)
		return e.dense, nil
	}
	e.dense, err = newDevice(e.b, EngineDense, e.cfg, p)
	return e.dense, err
}

func (e *adaptive) snapshot() (params, error) {
	switch {
	case e.host != nil:
		return e.host.snapshot()
	case e.dense != nil:
		return e.dense.snapshot()
	}
	return e.first, nil
}

func (e *adaptive) replace(p params) error {
	switch {
	case e.host != nil:
		return e.host.replace(p)
	case e.dense != nil:
		return e.dense.replace(p)
	}
	e.first = p.clone()
	return nil
}

func (e *adaptive) close() {
	if e.dense != nil {
		e.dense.close()
	}
}
