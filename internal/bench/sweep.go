package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// sweepInterventions is the number of different interventions of a sweep.
const sweepInterventions = 1000

// Sweep times interventions that differ in layer, head, position, direction and strength, against plain passes taken
// alternately. It counts compiles: more than one beside the plain program's is an error.
func Sweep() Kind {
	return Kind{Name: "sweep", Bench: "sweep", Run: runSweep, Cases: func(Options) []Case {
		return []Case{{"loupe", []Field{{"model", benchGPT2}, {"batch", 8}, {"seq", 16}, {"interventions", sweepInterventions}}}}
	}}
}

// intervention draws the run-time tensors of one random intervention: a steered and ablated head or a steered residual.
func intervention(r *rand.Rand, s *model.Spec, batch, seq int) []map[string]*tensors.Tensor {
	direction := func(width int) []float32 {
		v := make([]float32, width)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	layer, head, position := r.IntN(s.Layers), r.IntN(s.Heads), r.IntN(seq)
	amount := float32(0.5 + r.Float64())
	heads, resid := make([]float32, s.Layers*batch*seq*s.Heads), make([]float32, s.Layers*batch*seq)
	for row := range batch {
		at := (layer*batch+row)*seq + position
		heads[at*s.Heads+head], resid[at] = amount, amount
	}
	v, u := direction(s.DHead), direction(s.DHead)
	return []map[string]*tensors.Tensor{
		{
			"gate": tensors.FromFlatDataAndDimensions(heads, s.Layers, batch, seq, s.Heads),
			"V":    tensors.FromFlatDataAndDimensions(v, 1, s.DHead), "U": tensors.FromFlatDataAndDimensions(u, 1, s.DHead),
		},
		{
			"strength":  tensors.FromFlatDataAndDimensions(resid, s.Layers, batch, seq),
			"direction": tensors.FromFlatDataAndDimensions(direction(s.DModel), s.DModel),
		},
	}
}

func runSweep(ctx context.Context, o Options, c Case) ([]Field, error) {
	b, err := openDevice(o.Device)
	if err != nil {
		return nil, err
	}
	spec, params, err := loadBench(ctx, b, o, c.Get("model"))
	if err != nil {
		return nil, err
	}
	const batch, seq = 8, 16
	plain := model.Plan{Batch: batch, Seq: seq, Logits: model.LogitsAt, Gather: 1}
	edited := plain
	edited.Edits = []model.Edit{{Site: model.Z, Rank: 1}, {Site: model.ResidPost, Add: true}}
	engine := model.NewEngine(b, nil)
	run, err := alternate(ctx, engine, spec, params, plain, edited)
	if err != nil {
		return nil, err
	}
	for range o.Warmup {
		if err := run.both(); err != nil {
			return nil, err
		}
	}
	run.plain, run.edited = nil, nil
	// --steps shortens the sweep; --seconds does not: the number of interventions is the case
	steps := sweepInterventions
	if o.Steps > 0 {
		steps = min(steps, o.Steps)
	}
	for range steps {
		if err := errors.Join(ctx.Err(), run.both()); err != nil {
			return nil, err
		}
	}
	if n := engine.Compiles(); n != 2 {
		return nil, fmt.Errorf("bench: the sweep compiled %d programs, want the plain and the edited one", n)
	}
	return []Field{
		{"seconds", round(sum(run.edited)/float64(steps), 6)}, {"seconds_plain", round(sum(run.plain)/float64(steps), 6)},
		{"cost_per_pass", round(sum(run.edited)/sum(run.plain), 4)}, {"cost_per_pass_median", round(median(run.edited)/median(run.plain), 4)},
		{"compiles", 1}, {"interventions", steps},
	}, nil
}

// sweepRun holds the two programs of a sweep and the seconds of their passes.
type sweepRun struct {
	both          func() error
	plain, edited []float64
}

// alternate compiles both plans; both() runs a plain pass and then one with a fresh random intervention, whose
// construction counts as its cost.
func alternate(ctx context.Context, e *model.Engine, s *model.Spec, params *model.Params, plain, edited model.Plan) (*sweepRun, error) {
	a, err := e.Compile(s, plain)
	if err != nil {
		return nil, err
	}
	z, err := e.Compile(s, edited)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 1))
	ids, last := make([]int32, plain.Batch*plain.Seq), make([]int32, plain.Batch)
	for i := range ids {
		ids[i] = int32(r.IntN(s.Vocab))
	}
	for i := range last {
		last[i] = int32(plain.Seq - 1)
	}
	run := &sweepRun{}
	pass := func(p *model.Program, in func() model.Inputs, took *[]float64) error {
		seconds, err := repeat(ctx, Options{Steps: 1}, func() error {
			out, err := p.Run(ctx, params, in())
			if err != nil {
				return err
			}
			return out.Free()
		})
		*took = append(*took, seconds...)
		return err
	}
	run.both = func() error {
		return errors.Join(
			pass(a, func() model.Inputs { return model.Inputs{IDs: ids, Gather: last} }, &run.plain),
			pass(z, func() model.Inputs {
				return model.Inputs{IDs: ids, Gather: last, Edits: intervention(r, s, plain.Batch, plain.Seq)}
			}, &run.edited))
	}
	return run, nil
}
