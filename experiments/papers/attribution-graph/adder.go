package attributiongraph

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
	"loupe/probe/train"
)

// sums draws texts of equations: x y = z, where a number is its own id and the sign has the one after the largest sum.
func (c *Config) sums(r *rand.Rand, n int) train.Rows {
	out := train.Rows{B: n, T: 4 * c.Equations}
	for range n * c.Equations {
		x, y := r.IntN(c.Numbers), r.IntN(c.Numbers)
		out.IDs = append(out.IDs, int32(x), int32(y), int32(2*c.Numbers-1), int32(x+y))
	}
	return out
}

// adder trains the model.
func adder(ctx context.Context, e *model.Engine, c *Config) (*model.Model, error) {
	spec, err := train.TinyGPT(c.size())
	if err != nil {
		return nil, err
	}
	m, err := train.NewModel(ctx, e, "adder", spec, uint64(c.Seed))
	if err != nil {
		return nil, err
	}
	names, err := train.Subset(spec, "all")
	if err != nil {
		return nil, err
	}
	cfg := train.DefaultConfig()
	cfg.Steps, cfg.LR, cfg.Warmup, cfg.ClipNorm, cfg.Schedule, cfg.Seed = c.Steps, c.LR, c.Steps/10, 1, train.ScheduleLinear, c.Seed
	t, err := train.New(e, m, names, cfg)
	if err != nil {
		return nil, err
	}
	source := func(r *rand.Rand, _ int) (train.Rows, error) { return c.sums(r, c.Batch), nil }
	if err := train.Language(ctx, t, source, nil, nil); err != nil {
		return nil, err
	}
	out := *m
	out.Params = t.Params()
	return &out, m.Params.Free()
}

// prompts draws texts without their last answer, and says which share of the answers the model gives.
func (c *Config) prompts(ctx context.Context, e *model.Engine, m *model.Model) (_ [][]int32, right float64, err error) {
	rows := c.sums(rand.New(rand.NewPCG(uint64(c.Seed), 99)), c.Prompts)
	n := rows.T - 1
	program, err := e.Compile(m.Spec, model.Plan{Batch: 1, Seq: n, Gather: 1, Logits: model.LogitsAt})
	if err != nil {
		return nil, 0, err
	}
	var out [][]int32
	for i := range rows.B {
		text := rows.IDs[i*rows.T : (i+1)*rows.T]
		got, err := program.Run(ctx, m.Params, model.Inputs{IDs: text[:n], Gather: []int32{int32(n - 1)}})
		if err != nil {
			return nil, 0, err
		}
		logits, err := tensors.CopyFlatData[float32](got.Logits())
		if err = errors.Join(err, got.Free()); err != nil {
			return nil, 0, err
		}
		best := 0
		for j, v := range logits {
			if v > logits[best] {
				best = j
			}
		}
		if int32(best) == text[n] {
			right += 1 / float64(rows.B)
		}
		out = append(out, text[:n])
	}
	return out, right, nil
}

// activations are what MLPs read and write on texts, by layer: rows [x, y], and of all layers together [x_0, x_1, .., y_0, y_1, ..].
func (c *Config) activations(ctx context.Context, e *model.Engine, m *model.Model) (layers [][]float32, all []float32, err error) {
	const batch = 16
	rows := c.sums(rand.New(rand.NewPCG(uint64(c.Seed), 98)), (c.Texts+batch-1)/batch*batch)
	plan := model.Plan{Batch: batch, Seq: rows.T}
	for _, k := range []model.Kind{model.MLPIn, model.MLPOut} {
		for l := range c.Layers {
			plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: k, Layer: l}})
		}
	}
	program, err := e.Compile(m.Spec, plan)
	if err != nil {
		return nil, nil, err
	}
	layers = make([][]float32, c.Layers)
	for lo := 0; lo < rows.B; lo += batch {
		out, err := program.Run(ctx, m.Params, model.Inputs{IDs: rows.IDs[lo*rows.T : (lo+batch)*rows.T]})
		if err != nil {
			return nil, nil, err
		}
		values := make([][]float32, len(plan.Captures))
		for i, capture := range plan.Captures {
			var failed error
			values[i], failed = tensors.CopyFlatData[float32](out.Capture(capture))
			err = errors.Join(err, failed)
		}
		if err = errors.Join(err, out.Free()); err != nil {
			return nil, nil, fmt.Errorf("activations: %w", err)
		}
		for r := range batch * rows.T {
			for _, v := range values {
				all = append(all, v[r*c.DModel:(r+1)*c.DModel]...)
			}
			for l := range layers {
				layers[l] = append(layers[l], values[l][r*c.DModel:(r+1)*c.DModel]...)
				layers[l] = append(layers[l], values[c.Layers+l][r*c.DModel:(r+1)*c.DModel]...)
			}
		}
	}
	return layers, all, nil
}
