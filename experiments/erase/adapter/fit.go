package adapter

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/reader"
	"loupe/internal/adam"
	"loupe/probe/model"
)

// Row is a text of a batch with the final states that it should get.
type Row struct {
	*encoder.Soft
	Target *mat.Dense // [T, d]
	Weight float64    // of its squared error
}

// Batch are rows that are read with the adapter at one strength.
type Batch struct {
	Strength float64
	Rows     []Row
}

// Gradients are those of a loss with respect to an adapter, layer by layer.
type Gradients struct {
	Up, Down [][]float32
}

// Fitter trains an adapter; the encoder stays as it is. The loss is, over the rows of a step's batches,
//
//	sum_i weight_i mean_t |h_t - target_it|²
type Fitter struct {
	e     *encoder.Encoder
	a     *Adapter
	read  *reader.Identity
	names []string
	rate  float64
	steps int64
	first Gradients // moments of Adam
	power Gradients
}

// NewFitter trains a with Adam (arXiv:1412.6980) at a constant rate.
func NewFitter(e *encoder.Encoder, a *Adapter, rate float64) (*Fitter, error) {
	if !(rate > 0) || math.IsInf(rate, 0) {
		return nil, fmt.Errorf("adapter: learning rate %v; use one above 0", rate)
	}
	read, err := reader.NewIdentity(e.Width(), "")
	if err != nil {
		return nil, err
	}
	f := &Fitter{e: e, a: a, read: read, rate: rate, first: a.zero(), power: a.zero()}
	for _, l := range a.Layers {
		f.names = append(f.names, l.Name)
	}
	return f, nil
}

// zero is a gradient of zeros.
func (a *Adapter) zero() (g Gradients) {
	for _, l := range a.Layers {
		g.Up, g.Down = append(g.Up, make([]float32, len(l.Up))), append(g.Down, make([]float32, len(l.Down)))
	}
	return g
}

// Step takes one step on the sum of the batches' losses and returns it as it was before.
func (f *Fitter) Step(ctx context.Context, batches ...Batch) (float64, error) {
	loss, g, err := f.Gradient(ctx, batches...)
	if err != nil {
		return 0, err
	}
	f.steps++
	k := adam.New(f.rate, 0.9, 0.999, 1e-8, 0, f.steps, 1)
	for i, l := range f.a.Layers {
		adam.Step(&k, l.Up, f.first.Up[i], f.power.Up[i], g.Up[i])
		adam.Step(&k, l.Down, f.first.Down[i], f.power.Down[i], g.Down[i])
	}
	return loss, nil
}

// Gradient returns the sum of the batches' losses and its gradient with respect to the adapter.
func (f *Fitter) Gradient(ctx context.Context, batches ...Batch) (loss float64, g Gradients, err error) {
	g = f.a.zero()
	for _, b := range batches {
		l, err := f.batch(ctx, b, g)
		if err != nil {
			return 0, g, err
		}
		loss += l
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, g, fmt.Errorf("adapter: the loss is %v after %d steps; lower the learning rate of %v", loss, f.steps, f.rate)
	}
	return loss, g, nil
}

// batch adds the gradient of one batch's loss to g.
func (f *Fitter) batch(ctx context.Context, b Batch, g Gradients) (loss float64, err error) {
	plan, in, release, err := f.inputs(b.Rows)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, release()) }()
	program, err := f.e.Engine.Compile(f.e.Model.Spec, plan)
	if err != nil {
		return 0, fmt.Errorf("adapter: %w", err)
	}
	base := f.e.Model.Params
	merged, err := Merge(f.e.Engine.Backend(), base, Part{f.a, b.Strength})
	if err != nil {
		return 0, err
	}
	defer func() { err = free(merged, base, err) }()
	out, err := program.Run(ctx, merged, in)
	if err != nil {
		return 0, fmt.Errorf("adapter: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	value, err := out.Objective()
	if err != nil {
		return 0, fmt.Errorf("adapter: %w", err)
	}
	for i, l := range f.a.Layers {
		values, err := tensors.CopyFlatData[float32](out.GradParam(l.Name))
		if err != nil {
			return 0, fmt.Errorf("adapter: gradient of %s: %w", l.Name, err)
		}
		f.a.chain(l, values, b.Strength, g.Up[i], g.Down[i])
	}
	return float64(value), nil
}

// chain adds to up and down what a gradient G [o, d] with respect to the weight gives for them: with k = strength scale,
// dL/dup = k G down' and dL/ddown = k up' G.
func (a *Adapter) chain(l Layer, gradient []float32, strength float64, up, down []float32) {
	k := float32(strength * a.Scale)
	for o := range l.Out {
		row := gradient[o*l.In : (o+1)*l.In]
		for r := range a.Rank {
			read, write, f := l.Down[r*l.In:(r+1)*l.In], down[r*l.In:(r+1)*l.In], k*l.Up[o*a.Rank+r]
			sum := float32(0)
			for j, v := range row {
				sum += v * read[j]
				write[j] += f * v
			}
			up[o*a.Rank+r] += k * sum
		}
	}
}

// lengthStep is what lengths are rounded up to, so that programs are few.
const lengthStep = 8

// inputs pads rows to one length.
func (f *Fitter) inputs(rows []Row) (plan model.Plan, in model.Inputs, release func() error, err error) {
	seq := 0
	for _, r := range rows {
		seq = max(seq, (r.Len()+lengthStep-1)/lengthStep*lengthStep)
	}
	s := f.e.Model.Spec
	if s.MaxPos > 0 {
		seq = min(seq, s.MaxPos)
	}
	batch, d := len(rows), f.e.Width()
	if batch == 0 {
		return plan, in, nil, errors.New("adapter: a batch without rows")
	}
	in = model.Inputs{IDs: make([]int32, batch*seq), Mask: make([]int32, batch*seq), Types: make([]int32, batch*seq)}
	given, target, weight := make([]float32, batch*seq*d), make([]float32, batch*seq*d), make([]float32, batch)
	for i, r := range rows {
		for what, x := range map[string]*mat.Dense{"word embeddings": r.Embeds, "target": r.Target} {
			if n, w := x.Dims(); n != r.Len() || w != d || n > seq {
				return plan, in, nil, fmt.Errorf("adapter: %s [%d, %d] for row %d of %d tokens and width %d", what, n, w, i, r.Len(), d)
			}
		}
		weight[i] = float32(r.Weight)
		for t, id := range r.IDs {
			in.IDs[i*seq+t], in.Mask[i*seq+t], in.Types[i*seq+t] = id, 1, r.TypeIDs[t]
			for j := range d {
				at := (i*seq+t)*d + j
				given[at], target[at] = float32(r.Embeds.At(t, j)), float32(r.Target.At(t, j))
			}
		}
	}
	plan = model.Plan{Batch: batch, Seq: seq, Embeds: true, Storage: f.e.Model.Params.Storage(), Objective: reader.Regress(f.read, batch, seq), GradParams: f.names}
	in.Input = tensors.FromFlatDataAndDimensions(given, batch, seq, d)
	in.Objective = map[string]*tensors.Tensor{
		"target": tensors.FromFlatDataAndDimensions(target, batch, seq, d), "weight": tensors.FromFlatDataAndDimensions(weight, batch),
	}
	return plan, in, func() error {
		return errors.Join(in.Input.FinalizeAll(), in.Objective["target"].FinalizeAll(), in.Objective["weight"].FinalizeAll())
	}, nil
}
