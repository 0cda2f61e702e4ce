package vectors

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
	"gonum.org/v1/gonum/mat"
)

// TunedLensConfig says how translators are trained: Adam on the mean KL divergence of the final layer's next-token distribution
// from the layer's, with a rate that falls linearly to 0.
type TunedLensConfig struct {
	Steps int     `json:"steps" yaml:"steps" doc:"steps of each layer"`
	Batch int     `json:"batch" yaml:"batch" doc:"tokens a step, drawn without replacement until all were used"`
	Rate  float64 `json:"rate" yaml:"rate" doc:"learning rate at the start"`
	Beta1 float64 `json:"beta1" yaml:"beta1" doc:"Adam's decay of the first moment"`
	Beta2 float64 `json:"beta2" yaml:"beta2" doc:"Adam's decay of the second moment"`
	Eps   float64 `json:"eps" yaml:"eps" doc:"Adam's epsilon"`
	Seed  uint64  `json:"seed" yaml:"seed" doc:"of the order of tokens"`
}

// DefaultTunedLens takes 100 steps of 128 tokens.
func DefaultTunedLens() TunedLensConfig {
	return TunedLensConfig{Steps: 100, Batch: 128, Rate: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}
}

// Validate names the field that is out of range.
func (c TunedLensConfig) Validate() error {
	switch {
	case c.Steps < 1 || c.Batch < 1:
		return fmt.Errorf("vectors: tuned lens: steps are %d and batch %d: %w; both are 1 or more", c.Steps, c.Batch, ErrArgument)
	case !(c.Rate > 0) || !(c.Eps > 0):
		return fmt.Errorf("vectors: tuned lens: rate is %v and eps %v: %w; both are positive", c.Rate, c.Eps, ErrArgument)
	case !(c.Beta1 >= 0 && c.Beta1 < 1) || !(c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("vectors: tuned lens: beta1 is %v and beta2 %v: %w; both are from 0 to below 1", c.Beta1, c.Beta2, ErrArgument)
	}
	return nil
}

// LensTrainer trains and judges translators for one lens on a backend.
type LensTrainer struct {
	lens     *Lens
	fixed    []any // the lens on the device
	cfg      TunedLensConfig
	step, kl *graph.Exec
	d        int
}

// NewLensTrainer compiles what training needs. Close it.
func NewLensTrainer(b compute.Backend, lens *Lens, cfg TunedLensConfig) (*LensTrainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := lens.Validate(); err != nil {
		return nil, err
	}
	t := &LensTrainer{lens: lens, fixed: lensTensors(lens), cfg: cfg}
	t.d, _ = lens.Unembed.Dims()
	var err error
	if t.step, err = graph.NewExec(b, func(nodes []*graph.Node) []*graph.Node { return lensStepGraph(lens, cfg, nodes) }); err != nil {
		return nil, fmt.Errorf("vectors: tuned lens: %w", err)
	}
	if t.kl, err = graph.NewExec(b, func(nodes []*graph.Node) []*graph.Node {
		l, in := takeLens(lens, nodes)
		return []*graph.Node{l.klGraph(in[0], in[1], in[2], in[3])}
	}); err != nil {
		return nil, fmt.Errorf("vectors: tuned lens: %w", err)
	}
	return t, nil
}

// Close frees the device's memory.
func (t *LensTrainer) Close() error {
	for _, x := range t.fixed {
		if err := x.(*tensors.Tensor).FinalizeAll(); err != nil {
			return fmt.Errorf("vectors: tuned lens: %w", err)
		}
	}
	t.step.Finalize()
	t.kl.Finalize()
	return nil
}

// Train fits one layer's translator to its activations h [n, d], with the final residual stream [n, d] of the same tokens; n is at
// least a batch. It returns the mean KL of every step's batch, before the step.
func (t *LensTrainer) Train(ctx context.Context, h, final *mat.Dense) (*Translator, []float64, error) {
	n, err := t.check(h, final)
	if err != nil {
		return nil, nil, err
	}
	if n < t.cfg.Batch {
		return nil, nil, fmt.Errorf("vectors: tuned lens: %d tokens for batches of %d: %w; give more text or set batch", n, t.cfg.Batch, ErrArgument)
	}
	state := []*tensors.Tensor{zeros32(t.d, t.d), zeros32(t.d), zeros32(t.d, t.d), zeros32(t.d), zeros32(t.d, t.d), zeros32(t.d)}
	rng := rand.New(rand.NewPCG(t.cfg.Seed, 0x74756e65646c656e)) // "tunedlen"
	var order []int
	var losses []float64
	for step := range t.cfg.Steps {
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("vectors: tuned lens: %w", err)
		}
		if len(order) < t.cfg.Batch {
			order = rng.Perm(n)
		}
		rows := order[:t.cfg.Batch]
		order = order[t.cfg.Batch:]
		args := slices.Clone(t.fixed)
		for _, s := range state {
			args = append(args, s)
		}
		at := float64(step + 1)
		rate := t.cfg.Rate * (1 - float64(step)/float64(t.cfg.Steps))
		args = append(args, rows32(h, rows), rows32(final, rows), tensors.FromScalar(float32(rate)),
			tensors.FromScalar(float32(1/(1-math.Pow(t.cfg.Beta1, at)))), tensors.FromScalar(float32(1/(1-math.Pow(t.cfg.Beta2, at)))))
		out, err := call(t.step, args)
		if err != nil {
			return nil, nil, err
		}
		for i, s := range state {
			if err := s.FinalizeAll(); err != nil {
				return nil, nil, fmt.Errorf("vectors: tuned lens: %w", err)
			}
			state[i] = out[i]
		}
		loss := float64(tensors.ToScalar[float32](out[len(state)]))
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return nil, nil, fmt.Errorf("vectors: tuned lens: the loss is %v at step %d: %w; lower the rate", loss, step, ErrNotFinite)
		}
		losses = append(losses, loss)
	}
	weight, err := tensors.CopyFlatData[float32](state[0])
	if err != nil {
		return nil, nil, fmt.Errorf("vectors: tuned lens: %w", err)
	}
	bias, err := tensors.CopyFlatData[float32](state[1])
	if err != nil {
		return nil, nil, fmt.Errorf("vectors: tuned lens: %w", err)
	}
	return &Translator{Weight: mat.NewDense(t.d, t.d, float64s(weight)), Bias: float64s(bias)}, losses, nil
}

// KL is at each token the divergence in nats of the final layer's distribution from that of the layer's h through a translator, nil
// for the logit lens.
func (t *LensTrainer) KL(ctx context.Context, tr *Translator, h, final *mat.Dense) ([]float64, error) {
	n, err := t.check(h, final)
	if err != nil {
		return nil, err
	}
	weight, bias := zeros32(t.d, t.d), zeros32(t.d)
	if tr != nil {
		weight, bias = matrix32(tr.Weight), vector32(tr.Bias)
	}
	out := make([]float64, 0, n)
	for lo := 0; lo < n; lo += t.cfg.Batch {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: tuned lens: %w", err)
		}
		rows := make([]int, t.cfg.Batch) // rows beyond the last repeat it
		for i := range rows {
			rows[i] = min(lo+i, n-1)
		}
		got, err := call(t.kl, append(slices.Clone(t.fixed), rows32(h, rows), rows32(final, rows), weight, bias))
		if err != nil {
			return nil, err
		}
		flat, err := tensors.CopyFlatData[float32](got[0])
		if err != nil {
			return nil, fmt.Errorf("vectors: tuned lens: %w", err)
		}
		out = append(out, float64s(flat[:min(t.cfg.Batch, n-lo)])...)
	}
	return out, nil
}

func (t *LensTrainer) check(h, final *mat.Dense) (int, error) {
	n, d, err := checkRows("h", h)
	if err != nil {
		return 0, err
	}
	nf, df, err := checkRows("final residual stream", final)
	if err != nil {
		return 0, err
	}
	if nf != n || df != d || d != t.d {
		return 0, fmt.Errorf("vectors: tuned lens of width %d: h [%d, %d], final [%d, %d]: %w", t.d, n, d, nf, df, ErrShape)
	}
	return n, nil
}

// call runs a program of the lens.
func call(e *graph.Exec, args []any) (out []*tensors.Tensor, err error) {
	if caught := exceptions.TryCatch[error](func() { out, err = e.Call(args...) }); caught != nil {
		err = caught
	}
	if err != nil {
		return nil, fmt.Errorf("vectors: tuned lens: %w", err)
	}
	return out, nil
}

// rows32 are some rows of x as a tensor.
func rows32(x *mat.Dense, rows []int) *tensors.Tensor {
	_, d := x.Dims()
	flat := make([]float32, 0, len(rows)*d)
	for _, r := range rows {
		flat = append(flat, float32s(x.RawRowView(r))...)
	}
	return tensors.FromFlatDataAndDimensions(flat, len(rows), d)
}
