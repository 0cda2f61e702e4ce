package sae

import (
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute"

	"loupe/internal/adam"
)

// ErrNonFinite says that a training step met NaN or Inf. The step was not applied.
var ErrNonFinite = errors.New("not a finite number")

// params are the weights with Adam's two moments.
type params struct{ w, m, v weights }

func newParams(w weights) params { return params{w: w, m: w.zeros(), v: w.zeros()} }

func (p params) clone() params {
	return params{w: p.w.clone(), m: p.m.clone(), v: p.v.clone()}
}

// stepInput is what a step needs besides the parameters.
type stepInput struct {
	x    []float32 // [B, d_in], already scaled; d_in and d_out are those of all sites
	y    []float32 // [B, d_out], what to reconstruct; nil: x
	coef float64   // weight of the sparsity term
	rate float64   // learning rate
	t    int64     // Adam's step, from 1
	dead []int32   // dead latents, ascending
	near float64   // stepOutput.near of the step before
}

// stepOutput is what a step reports, in the units of the scaled input.
type stepOutput struct {
	loss, aux float64   // the whole loss and AuxK's weighted part of it
	sparsity  float64   // the weighted sparsity term, part of loss
	least     []float64 // smallest active score of the batch, which batchtopk's threshold follows, in each selection; 0: none
	mse       float64   // mean over rows of the summed squared error
	variance  float64   // mean over rows of the summed squared distance to the batch mean
	siteMSE   []float64 // mse of each site of the output; nil: there is one
	siteVar   []float64 // variance of each site
	l0        float64   // mean number of active latents
	near      float64   // the same with those near enough to their threshold for a gradient
	gradNorm  float64   // before clipping
	rowSSE    []float64 // [B], squared error of each row; valid until the next step
	fired     []bool    // [F]; valid until the next step
}

// engine holds the parameters and performs training steps. A failed step leaves the parameters as they were.
type engine interface {
	step(in stepInput) (stepOutput, error)
	// snapshot returns the parameters; the caller must not change them and they are valid until the next step.
	snapshot() (params, error)
	// replace sets the parameters.
	replace(p params) error
	close()
}

// newEngine makes the engine called name, which takes over p.
func newEngine(b compute.Backend, name string, cfg Config, p params) (engine, error) {
	if !supports(cfg, name) {
		return nil, fmt.Errorf("sae: engine %q cannot train %s with normalisation %q; use %q", name, cfg.Arch, cfg.Normalize, EngineDense)
	}
	switch name {
	case EngineHybrid, EngineHost:
		if cfg.sparseReLU() {
			return newAdaptive(b, cfg, p), nil
		}
		return newHybrid(b, cfg, p, name == EngineHost)
	case EngineXLA, EngineDense:
		return newDevice(b, name, cfg, p)
	}
	return nil, fmt.Errorf("sae: unknown engine %q", name)
}

// adamStep returns the numbers of Adam's step t with gradients scaled by scale.
func adamStep(cfg Config, rate float64, t int64, scale float64) adam.Coef {
	return adam.New(rate, cfg.Beta1, cfg.Beta2, cfg.AdamEps, 0, t, scale)
}

// clipScale is the factor that brings a gradient of norm g down to the limit, as torch's clip_grad_norm_ has it.
func clipScale(limit, g float64) float64 {
	if limit == 0 {
		return 1
	}
	return min(1, limit/(g+1e-6))
}

// checkFinite names the first thing of a step that is not finite: a tensor that entered it, or else the gradient.
func checkFinite(cfg Config, in stepInput, out stepOutput, w weights) error {
	if !math.IsNaN(out.loss) && !math.IsInf(out.loss, 0) && !math.IsNaN(out.gradNorm) && !math.IsInf(out.gradNorm, 0) {
		return nil
	}
	if i := firstNonFinite(in.x); i >= 0 {
		d := cfg.inWidth()
		return fmt.Errorf("row %d, dimension %d of the batch is %v: %w; look at the store with `loupe store verify`", i/d, i%d, in.x[i], ErrNonFinite)
	}
	if i := firstNonFinite(in.y); i >= 0 {
		d := cfg.width()
		return fmt.Errorf("row %d, dimension %d of the batch's targets is %v: %w; look at the store with `loupe store verify`", i/d, i%d, in.y[i], ErrNonFinite)
	}
	for n, s := range w.slices() {
		if i := firstNonFinite(s); i >= 0 {
			return fmt.Errorf("element %d of %s is %v: %w; resume from an earlier checkpoint with a lower lr", i, layout(cfg)[n].name, s[i], ErrNonFinite)
		}
	}
	return fmt.Errorf("loss %v, gradient norm %v: %w; lower lr, set clip, or normalise the activations", out.loss, out.gradNorm, ErrNonFinite)
}

func firstNonFinite(s []float32) int {
	for i, v := range s {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
