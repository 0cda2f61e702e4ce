package circuits

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Task is a model, pairs and a metric, with what every method needs of them. It may be used from one goroutine at a time.
type Task struct {
	Engine *model.Engine
	Model  *model.Model
	Pairs  *Pairs
	Graph  *EdgeGraph // nil for models without edges
	// CleanLoss and CorruptedLoss are the metric of each row on the two inputs.
	CleanLoss, CorruptedLoss []float64

	memory  *Memory
	opt     Options
	metric  *binding
	copies  int // of the batch in one run of a sweep
	noEdges error
	cache   *senderCache // nil before edges are used
	chunks  []*Task      // nil when all rows fit at once
	index   []int        // of a chunk: its rows in the whole task, the last repeated
	real    int          // rows that count; the others are repeats
}

// ErrNoEffect says that the corruption changes nothing that the metric reads.
var ErrNoEffect = errors.New("nothing can be attributed")

// Options of a Task.
type Options struct {
	// SweepRows bounds the rows of one run of a sweep over edges or nodes: as many copies of the batch as fit are run at once.
	// 0 is 64.
	SweepRows int
	// Budget bounds the bytes of one run, as EstimateMemory counts them: more rows than fit run in chunks of one shape, and every method
	// returns what one batch would. 0 is no bound.
	Budget int64
	// Ran, if set, is called after every pass with the rows that went through the model, copies in a sweep counted: to show progress.
	Ran func(rows int)
}

// NewTask runs the model on both inputs. It is an error when the metric is not finite or, unless it is a step function, equal on both inputs in
// every row; and, before anything runs, when not even one row fits Options.Budget.
func NewTask(ctx context.Context, e *model.Engine, m *model.Model, p *Pairs, metric Metric, opt Options) (*Task, error) {
	if err := p.validate(m.Spec.Vocab); err != nil {
		return nil, err
	}
	width := m.Spec.Vocab
	if metric.Site != nil {
		if err := m.Spec.Has(*metric.Site); err != nil {
			return nil, err
		}
		width = m.Spec.Width(metric.Site.Kind, p.Seq)
	}
	b, err := metric.bind(p, width)
	if err != nil {
		return nil, err
	}
	memory, err := EstimateMemory(m.Spec, p.Rows, p.Seq, opt)
	if err != nil {
		return nil, err
	}
	t := &Task{Engine: e, Model: m, Pairs: p, memory: memory, opt: opt, metric: b, copies: memory.Copies, real: p.Rows}
	t.Graph, t.noEdges = GraphOf(m.Spec)
	t.split()
	err = t.each(func(c *Task) error {
		if err := c.measure(ctx); err != nil {
			return err
		}
		if t.chunks != nil {
			t.CleanLoss, t.CorruptedLoss = append(t.CleanLoss, c.CleanLoss[:c.real]...), append(t.CorruptedLoss, c.CorruptedLoss[:c.real]...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, t.distinguishes()
}

// distinguishes refuses a metric that is not a number, or that is the same on both inputs in every row. A step function may be: what is
// measured is where it falls.
func (t *Task) distinguishes() error {
	same := true
	for r := range t.CleanLoss {
		for _, v := range []float64{t.CleanLoss[r], t.CorruptedLoss[r]} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("circuits: metric %s of row %d is %v on the clean and %v on the corrupted input; a circuit needs finite losses", t.metric.metric.Name, r, t.CleanLoss[r], t.CorruptedLoss[r])
			}
		}
		same = same && t.CleanLoss[r] == t.CorruptedLoss[r]
	}
	if same && !t.metric.metric.Step {
		return fmt.Errorf("circuits: metric %s is the same on the clean and the corrupted input of all %d rows, so %w; choose tokens or a site that the corruption changes", t.metric.metric.Name, len(t.CleanLoss), ErrNoEffect)
	}
	return nil
}

// measure runs the model on both inputs of a task without chunks.
func (t *Task) measure(ctx context.Context) error {
	b, p := t.metric, t.Pairs
	plan := model.Plan{Batch: p.Rows, Seq: p.Seq}
	b.apply(&plan)
	for i, ids := range [][]int32{p.Clean, p.Corrupted} {
		out, err := t.run(ctx, plan, ids, 1, nil, nil)
		if err != nil {
			return err
		}
		if i == 0 && b.metric.Reference {
			if b.reference, err = b.read(out); err != nil {
				return err
			}
			// the first run compared with nothing: run again with what it read
			if err := out.Free(); err != nil {
				return err
			}
			if out, err = t.run(ctx, plan, ids, 1, nil, nil); err != nil {
				return err
			}
		}
		loss, err := losses(out)
		if err != nil {
			return err
		}
		if i == 0 {
			t.CleanLoss = loss
		} else {
			t.CorruptedLoss = loss
		}
	}
	return nil
}

// Bytes is the estimated size of the task's largest run; see EstimateMemory, which tells it before there is a task.
func (t *Task) Bytes() int64 { return t.memory.Bytes }

// run compiles (once) and runs a plan on copies repetitions of ids.
func (t *Task) run(ctx context.Context, plan model.Plan, ids []int32, copies int, edges map[string]*tensors.Tensor, edits []map[string]*tensors.Tensor) (*model.Outputs, error) {
	program, err := t.Engine.Compile(t.Model.Spec, plan)
	if err != nil {
		return nil, err
	}
	objective, err := t.metric.inputs(copies)
	if err != nil {
		return nil, err
	}
	in := model.Inputs{IDs: tile(ids, copies), Gather: tile(t.metric.position, copies), Objective: objective, Edges: edges, Edits: edits}
	if t.Pairs.Mask != nil {
		in.Mask = tile(t.Pairs.Mask, copies)
	}
	return t.pass(ctx, program, in)
}

// pass runs a program and tells Options.Ran.
func (t *Task) pass(ctx context.Context, program *model.Program, in model.Inputs) (*model.Outputs, error) {
	out, err := program.Run(ctx, t.Model.Params, in)
	if err == nil && t.opt.Ran != nil {
		t.opt.Ran(len(in.IDs) / t.Pairs.Seq)
	}
	return out, err
}

// losses takes the rows' losses out of a run and frees it.
func losses(out *model.Outputs) ([]float64, error) {
	x, err := floats(out.ObjectiveRows())
	return x, errors.Join(err, out.Free())
}

// floats copies a tensor to the host in float64.
func floats(t *tensors.Tensor) ([]float64, error) {
	if t == nil {
		return nil, errors.New("circuits: a run lacks an output")
	}
	x, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return nil, fmt.Errorf("circuits: %w", err)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out, nil
}

// mean of a non-empty slice.
func mean(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
