package circuits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/atomicfile"
	"loupe/probe/model"
)

// Certificate is what was checked of a task's machinery on its own data, to be kept beside a result. Errors of identities are
// of what the metric reads (logits), relative to the largest change between the two inputs.
type Certificate struct {
	Checks []Check `json:"checks"`
	// Method's scores add up to Sum; the loss truly changes by Change from the clean to the corrupted input.
	Method string  `json:"method"`
	Sum    float64 `json:"sum"`
	Change float64 `json:"change"`
}

// Check is one identity.
type Check struct {
	Name      string  `json:"name"`
	Error     float64 `json:"error"`
	Tolerance float64 `json:"tolerance"`
	// Skipped says why the identity was not checked.
	Skipped string `json:"skipped,omitempty"`
}

// OK tells whether the check passed or was skipped.
func (c Check) OK() bool { return c.Skipped != "" || c.Error <= c.Tolerance }

// Err names the checks that failed.
func (c *Certificate) Err() error {
	for _, check := range c.Checks {
		if !check.OK() {
			return fmt.Errorf("circuits: certificate: %s is off by %.3g, more than %.3g; the scores cannot be relied on", check.Name, check.Error, check.Tolerance)
		}
	}
	return nil
}

// WriteFile writes the certificate as JSON.
func (c *Certificate) WriteFile(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		return enc.Encode(c)
	})
}

// Certify checks that mask 0 is the plain model and mask 1 the corrupted one, that the mask's gradient is a finite difference, that
// one more position of padding changes nothing under a half mask, and how near the scores' sum comes to the true effect. Padding
// takes three compiles of the longer shape.
func Certify(ctx context.Context, t *Task, s *Scores) (*Certificate, error) {
	corruptedRef, err := t.Reference(ctx, Patching, 0)
	if err != nil {
		return nil, err
	}
	out := &Certificate{Method: s.Method, Sum: s.Sum(), Change: mean(t.CorruptedLoss) - mean(t.CleanLoss)}
	add := func(name string, err, tolerance float64) {
		out.Checks = append(out.Checks, Check{Name: name, Error: err, Tolerance: tolerance})
	}
	plain, corrupted, err := t.plainReads(ctx)
	if err != nil {
		return nil, err
	}
	scale := distance(plain, corrupted)
	if scale == 0 {
		return nil, fmt.Errorf("circuits: certificate: the corrupted inputs change nothing that %s reads", t.metric.metric.Name)
	}
	for _, m := range []struct {
		name string
		at   float32
		want []float32
	}{{"mask 0 is the plain model", 0, plain}, {"mask 1 is the corrupted model", 1, corrupted}} {
		got, _, err := t.uniform(ctx, m.at, corruptedRef)
		if err != nil {
			return nil, err
		}
		add(m.name, distance(got, m.want)/scale, 1e-3)
	}
	if t.metric.metric.Step {
		out.Checks = append(out.Checks, Check{Name: "gradient is a finite difference", Skipped: "the metric is a step function"})
	} else {
		worst, err := t.gradientError(ctx, corruptedRef)
		if err != nil {
			return nil, err
		}
		add("gradient is a finite difference", worst, 0.02)
	}
	half, _, err := t.uniform(ctx, 0.5, corruptedRef)
	if err != nil {
		return nil, err
	}
	if limit := t.Model.Spec.MaxPos; limit > 0 && t.Pairs.Seq+1 > limit {
		out.Checks = append(out.Checks, Check{Name: "padded equals unpadded", Skipped: fmt.Sprintf("the inputs fill the model's %d positions", limit)})
		return out, nil
	}
	padded, err := NewTask(ctx, t.Engine, t.Model, t.Pairs.padded(), t.metric.metric, Options{SweepRows: t.memory.Rows, Budget: t.opt.Budget, Ran: t.opt.Ran})
	if err != nil {
		return nil, err
	}
	paddedRef, err := padded.Reference(ctx, Patching, 0)
	if err != nil {
		return nil, err
	}
	got, _, err := padded.uniform(ctx, 0.5, paddedRef)
	if err != nil {
		return nil, err
	}
	add("padded equals unpadded", distance(got, half)/scale, 1e-3)
	return out, nil
}

// plainReads returns what the metric reads on the two inputs in the plain pass.
func (t *Task) plainReads(ctx context.Context) (clean, corrupted []float32, err error) {
	read := func(c *Task, ids []int32) ([]float32, error) {
		plan := model.Plan{Batch: c.Pairs.Rows, Seq: c.Pairs.Seq}
		c.metric.apply(&plan)
		out, err := c.run(ctx, plan, ids, 1, nil, nil)
		if err != nil {
			return nil, err
		}
		x, err := c.metric.read(out)
		return x, errors.Join(err, out.Free())
	}
	if clean, err = byRow(t, func(c *Task) ([]float32, error) { return read(c, c.Pairs.Clean) }); err != nil {
		return nil, nil, err
	}
	corrupted, err = byRow(t, func(c *Task) ([]float32, error) { return read(c, c.Pairs.Corrupted) })
	return clean, corrupted, err
}

// uniform runs the clean input with every edge at one mask, and returns what the metric reads and the losses.
func (t *Task) uniform(ctx context.Context, at float32, ref *Reference) ([]float32, []float64, error) {
	var loss []float64
	x, err := byRow(t, func(c *Task) ([]float32, error) {
		own, err := ref.of(ctx, c)
		if err != nil {
			return nil, err
		}
		mask := slices.Repeat([]float32{at}, c.Pairs.Rows*c.Graph.Size())
		edges := map[string]*tensors.Tensor{
			"corrupted": own.tensor(1), "mask": tensors.FromFlatDataAndDimensions(mask, c.Pairs.Rows, len(c.Graph.Senders), len(c.Graph.Receivers)),
		}
		out, err := c.run(ctx, c.forwardPlan(1), c.Pairs.Clean, 1, edges, nil)
		if err != nil {
			return nil, err
		}
		x, err := c.metric.read(out)
		if err != nil {
			return nil, err
		}
		rows, err := losses(out)
		if err == nil {
			loss = append(loss, rows[:c.real]...)
		}
		return x, err
	})
	return x, loss, err
}

// gradientError compares the gradient at mask 1/2 along all edges with a central difference, relative to the largest of the
// rows' derivatives.
func (t *Task) gradientError(ctx context.Context, ref *Reference) (float64, error) {
	size := t.Graph.Size()
	mask := slices.Repeat([]float32{0.5}, t.Pairs.Rows*size)
	grad, _, err := t.gradients(ctx, t.Pairs.Clean, mask, ref)
	if err != nil {
		return 0, err
	}
	const h = 0.01
	_, up, err := t.uniform(ctx, 0.5+h, ref)
	if err != nil {
		return 0, err
	}
	_, down, err := t.uniform(ctx, 0.5-h, ref)
	if err != nil {
		return 0, err
	}
	var worst, largest float64
	for r := range t.Pairs.Rows {
		var along float64
		for _, g := range grad[r*size : (r+1)*size] {
			along += g
		}
		worst, largest = max(worst, math.Abs(along-(up[r]-down[r])/(2*h))), max(largest, math.Abs(along))
	}
	return worst / max(largest, 1e-6), nil
}

// padded is the batch with one more position of padding on the left.
func (p *Pairs) padded() *Pairs {
	out := &Pairs{Rows: p.Rows, Seq: p.Seq + 1, Answer: p.Answer, Wrong: p.Wrong}
	for r := range p.Rows {
		row := func(x []int32) []int32 { return append([]int32{0}, x[r*p.Seq:(r+1)*p.Seq]...) }
		out.Clean, out.Corrupted = append(out.Clean, row(p.Clean)...), append(out.Corrupted, row(p.Corrupted)...)
		out.Mask = append(out.Mask, 0)
		for i := r * p.Seq; i < (r+1)*p.Seq; i++ {
			real := int32(0)
			if p.real(i) {
				real = 1
			}
			out.Mask = append(out.Mask, real)
		}
	}
	return out
}

// distance is the largest difference between two slices of one length.
func distance(a, b []float32) float64 {
	worst := 0.0
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i])-float64(b[i])))
	}
	return worst
}
