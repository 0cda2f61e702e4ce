package circuits

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/adam"
	"loupe/probe/model"
)

// OptimalConfig says how the constants of an optimal ablation are learned.
type OptimalConfig struct {
	Circuit *Circuit // whose outside is cut while they are learned; nil: each row of each step cuts every edge with probability 1/2
	Steps   int      // of Adam
	Rate    float64  // learning rate, in units of the mean standard deviation of the senders' outputs
	Seed    uint64   // of the random cuts
}

// DefaultOptimal is 100 steps at rate 0.1 over random cuts.
func DefaultOptimal(seed uint64) OptimalConfig {
	return OptimalConfig{Steps: 100, Rate: 0.1, Seed: seed}
}

// OptimalReference is optimal ablation (Li and Janson, arXiv:2409.09951): every sender writes one constant vector c_u at all positions
// and rows, and the constants minimise the mean loss of the ablated model over the task's rows,
//
//	c* = argmin_c  mean_b M_b( x_v += sum_u m_uv (c_u - a_u) )
//
// by Adam from the senders' means: with Circuit for that circuit's cut m, which is the definition, and without for cuts drawn anew for each row and step, so
// that one reference serves circuits of any size. One gradient pass per step; nothing compiles twice. Of the constants met,
// with Circuit the best are returned, and so they never do worse than the means; without, the last.
func OptimalReference(ctx context.Context, t *Task, cfg OptimalConfig) (*Reference, error) {
	switch {
	case t.noEdges != nil:
		return nil, t.noEdges
	case cfg.Steps < 1 || cfg.Rate <= 0:
		return nil, fmt.Errorf("circuits: optimal ablation of %d steps at rate %g; both must be positive", cfg.Steps, cfg.Rate)
	case t.metric.metric.Step:
		return nil, fmt.Errorf("circuits: metric %s is a step function, which optimal ablation cannot descend; use logit_diff or kl", t.metric.metric.Name)
	}
	constants, deviation, err := t.senderMoments(ctx)
	if err != nil {
		return nil, err
	}
	solver := adam.NewSolver(cfg.Rate*mean(deviation), len(constants))
	r := rand.New(rand.NewPCG(cfg.Seed, 0x6f7074696d616c))
	size := t.Graph.Size()
	mask := make([]float32, t.Pairs.Rows*size)
	if cfg.Circuit != nil {
		mask = tile(cfg.Circuit.mask(), t.Pairs.Rows)
	}
	var best []float64
	least := 0.0
	for step := 0; ; step++ {
		if cfg.Circuit == nil {
			for i := range mask {
				mask[i] = float32(r.IntN(2))
			}
		}
		gradient := make([]float64, len(constants))
		var loss float64
		err := t.each(func(c *Task) error {
			part := mask
			if c.index != nil {
				part = pick(mask, c.index, size)
			}
			return c.constantsGradient(ctx, t.Pairs.Rows, part, constants, &loss, gradient)
		})
		if err != nil {
			return nil, err
		}
		if best == nil || loss < least {
			best, least = append(best[:0], constants...), loss
		}
		if step == cfg.Steps {
			break
		}
		solver.Step(constants, gradient)
	}
	if cfg.Circuit != nil {
		constants = best
	}
	return t.perChunk(ctx, Optimal, func(_ context.Context, c *Task) (*Reference, error) {
		return c.reference(string(Optimal), c.everywhere(constants)), nil
	})
}

// everywhere repeats constants [u,d] at every position and row.
func (t *Task) everywhere(constants []float64) []float32 {
	one := make([]float32, len(constants))
	for i, v := range constants {
		one[i] = float32(v)
	}
	return tile(one, t.Pairs.Rows*t.Pairs.Seq)
}

// constantsGradient adds the loss of the rows under a mask [b,u,v], with every sender's constant in place of what is cut, and its gradient in
// the constants [u,d], both divided by all, the rows of the whole task.
func (t *Task) constantsGradient(ctx context.Context, all int, mask []float32, constants []float64, loss *float64, gradient []float64) error {
	g, n := t.Graph, float64(all)
	plan := model.Plan{Batch: t.Pairs.Rows, Seq: t.Pairs.Seq, Edges: &model.Edges{Batch: true, GradCorrupted: true}}
	t.metric.apply(&plan)
	ref := t.reference(string(Optimal), t.everywhere(constants))
	edges := map[string]*tensors.Tensor{"corrupted": ref.tensor(1), "mask": tensors.FromFlatDataAndDimensions(mask, t.Pairs.Rows, len(g.Senders), len(g.Receivers))}
	out, err := t.run(ctx, plan, t.Pairs.Clean, 1, edges, nil)
	if err != nil {
		return err
	}
	x, err := floats(out.GradEdgeCorrupted())
	if err != nil {
		return err
	}
	for i, v := range x[:t.real*t.Pairs.Seq*len(constants)] {
		gradient[i%len(constants)] += v / n
	}
	each, err := losses(out)
	for _, v := range each[:min(len(each), t.real)] {
		*loss += v / n
	}
	return errors.Join(err, ref.forget())
}
