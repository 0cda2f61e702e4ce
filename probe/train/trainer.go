package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/adam"
	"loupe/probe/model"
)

// ErrNonFinite says that a loss or a gradient is NaN or infinite. The weights are those before the step.
var ErrNonFinite = errors.New("not a finite number")

// Trainer trains some of a model's parameters with AdamW. It is not safe for concurrent use.
type Trainer struct {
	engine *model.Engine
	model  *model.Model
	cfg    Config
	names  []string
	params *model.Params
	m, v   Gradients // moments, of the parameters' shapes
	masks  map[string][]float32
	step   int
	norm   float64 // of the last step's gradient, before clipping
}

// New returns a trainer of the named parameters at step 0. It copies them: m stays as it is. The model's weights must be
// stored as float32, since a step is often below the precision of bfloat16.
func New(e *model.Engine, m *model.Model, names []string, cfg Config) (*Trainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("train: no parameters to train; name some with train.Subset")
	}
	t := &Trainer{engine: e, model: m, cfg: cfg, names: slices.Clone(names), m: Gradients{}, v: Gradients{}, masks: map[string][]float32{}}
	copies := map[string][]float32{}
	for _, name := range names {
		if x := m.Params.Get(name); x != nil && x.DType() != dtypes.Float32 {
			return nil, fmt.Errorf("train: %s is stored as %s; load the model with float32 weights to train it", name, x.DType())
		}
		values, err := m.Params.Values(name)
		if err != nil {
			return nil, err
		}
		if _, twice := copies[name]; twice {
			return nil, fmt.Errorf("train: parameter %s is named twice", name)
		}
		copies[name], t.m[name], t.v[name] = values, make([]float32, len(values)), make([]float32, len(values))
	}
	var err error
	t.params, err = m.Params.WithValues(e.Backend(), copies)
	return t, err
}

// Params returns the current weights: the trained ones are the trainer's, which later steps change, the others the
// model's. Free them with FreeUnshared(model.Params) when both trainer and weights are done with.
func (t *Trainer) Params() *model.Params { return t.params }

// Names lists the trained parameters.
func (t *Trainer) Names() []string { return slices.Clone(t.names) }

// StepsDone is the number of optimiser steps so far.
func (t *Trainer) StepsDone() int { return t.step }

// GradNorm is the norm of the last step's gradient after masks and before clipping.
func (t *Trainer) GradNorm() float64 { return t.norm }

// Mask sets factors for the gradients of parameters, value by value; weights under a factor of 0 stay as they are, without
// decay too. A parameter that is not in the map has no mask. Masks are set before the first step.
func (t *Trainer) Mask(masks map[string][]float32) error {
	if t.step > 0 {
		return fmt.Errorf("train: masks set after step %d; set them before the first", t.step)
	}
	set := map[string][]float32{}
	for name, mask := range masks {
		if m, ok := t.m[name]; !ok || len(m) != len(mask) {
			return fmt.Errorf("train: a mask of %d values for %s, which has %d trained ones", len(mask), name, len(m))
		}
		if i := slices.IndexFunc(mask, func(v float32) bool { return notFinite(float64(v)) }); i >= 0 {
			return fmt.Errorf("train: value %d of the mask of %s is %v", i, name, mask[i])
		}
		set[name] = slices.Clone(mask)
	}
	t.masks = set
	return nil
}

// Gradients runs a plan on the current weights and returns the value of its objective and the objective's gradients with
// respect to the trained parameters. Sum those of several batches with Add before Apply.
func (t *Trainer) Gradients(ctx context.Context, plan model.Plan, in model.Inputs) (float64, Gradients, error) {
	var out Gradients
	loss, err := t.run(ctx, plan, in, func(g Gradients) error {
		out = Gradients{}
		for name, x := range g {
			out[name] = slices.Clone(x)
		}
		return t.finite(g)
	})
	if err != nil {
		return loss, nil, err
	}
	return loss, out, nil
}

// Step is Gradients and Apply without the copy between them. It returns the loss before the step.
func (t *Trainer) Step(ctx context.Context, plan model.Plan, in model.Inputs) (float64, error) {
	return t.run(ctx, plan, in, t.Apply)
}

// run calls use with views of the gradients of the plan's objective.
func (t *Trainer) run(ctx context.Context, plan model.Plan, in model.Inputs, use func(Gradients) error) (loss float64, err error) {
	if plan.Objective == nil {
		return 0, errors.New("train: the plan has no objective to minimise")
	}
	plan.GradParams = t.names
	program, err := t.engine.Compile(t.model.Spec, plan)
	if err != nil {
		return 0, err
	}
	out, err := program.Run(ctx, t.params, in)
	if err != nil {
		return 0, fmt.Errorf("train: step %d: %w", t.step+1, err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	value, err := out.Objective()
	if err != nil {
		return 0, err
	}
	if loss = float64(value); notFinite(loss) {
		return loss, fmt.Errorf("train: step %d: the loss (%s) is %v: %w; lower the learning rate or look at the inputs", t.step+1, plan.Objective.Name, loss, ErrNonFinite)
	}
	return loss, views(out, t.names, Gradients{}, use)
}

// views calls use with the gradients of the named parameters where they lie.
func views(out *model.Outputs, names []string, g Gradients, use func(Gradients) error) error {
	if len(names) == 0 {
		return use(g)
	}
	x := out.GradParam(names[0])
	if x == nil {
		return fmt.Errorf("train: the program returned no gradient of %s", names[0])
	}
	var err error
	return errors.Join(tensors.ConstFlatData(x, func(flat []float32) {
		g[names[0]] = flat
		err = views(out, names[1:], g, use)
	}), err)
}

// finite names the first gradient that is not finite.
func (t *Trainer) finite(g Gradients) error {
	for _, name := range t.names {
		if !notFinite(sumSquares(g[name])) {
			continue
		}
		i := slices.IndexFunc(g[name], func(v float32) bool { return notFinite(float64(v)) })
		return fmt.Errorf("train: step %d: value %d of the gradient of %s is %v: %w; lower the learning rate, clip, or look at the inputs",
			t.step+1, i, name, g[name][i], ErrNonFinite)
	}
	return nil
}

// Apply makes one step of AdamW: masks, clipping by the global norm, the schedule's rate, decoupled decay. g has a gradient
// of every trained parameter and is not changed.
func (t *Trainer) Apply(g Gradients) error {
	if t.cfg.Steps > 0 && t.step >= t.cfg.Steps {
		return fmt.Errorf("train: all %d steps are done; set steps higher", t.cfg.Steps)
	}
	if len(g) != len(t.names) {
		return fmt.Errorf("train: gradients of %d parameters for %d trained ones", len(g), len(t.names))
	}
	for _, name := range t.names {
		if len(g[name]) != len(t.m[name]) {
			return fmt.Errorf("train: %d gradient values for parameter %s of %d", len(g[name]), name, len(t.m[name]))
		}
	}
	if err := t.finite(g); err != nil {
		return err
	}
	g = t.masked(g)
	t.norm = g.Norm()
	next, scale := t.step+1, 1.0
	if t.cfg.ClipNorm > 0 {
		scale = min(1, t.cfg.ClipNorm/(t.norm+1e-6)) // as torch's clip_grad_norm_
	}
	c := t.cfg
	k := adam.New(c.Rate(next), c.Beta1, c.Beta2, c.Eps, c.WeightDecay, int64(next), scale)
	for _, name := range t.names {
		if err := t.update(&k, name, g[name]); err != nil {
			return fmt.Errorf("train: step %d: update %s: %w", next, name, err)
		}
	}
	t.step = next
	return nil
}

// masked multiplies the gradients by the masks, copying what it changes.
func (t *Trainer) masked(g Gradients) Gradients {
	if len(t.masks) == 0 {
		return g
	}
	out := Gradients{}
	for name, x := range g {
		out[name] = x
		if mask, ok := t.masks[name]; ok {
			y := make([]float32, len(x))
			inChunks(len(x), func(_, from, to int) {
				for i := from; i < to; i++ {
					y[i] = x[i] * mask[i]
				}
			})
			out[name] = y
		}
	}
	return out
}

// update changes one parameter in place: where the backend shares its memory, the next run sees the new values.
func (t *Trainer) update(k *adam.Coef, name string, g []float32) error {
	m, v, mask := t.m[name], t.v[name], t.masks[name]
	return tensors.MutableFlatData(t.params.Get(name), func(w []float32) {
		inChunks(len(w), func(_, from, to int) {
			if mask == nil {
				adam.Step(k, w[from:to], m[from:to], v[from:to], g[from:to])
				return
			}
			var old [chunk]float32
			copy(old[:], w[from:to])
			adam.Step(k, w[from:to], m[from:to], v[from:to], g[from:to])
			for i := from; i < to; i++ {
				if mask[i] == 0 {
					w[i] = old[i-from]
				}
			}
		})
	})
}

func notFinite(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
