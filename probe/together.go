package probe

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"loupe/vectors"
)

// convex is a smooth convex function that is minimised together with others: the points at which they want their values
// are collected, so that one pass over shared data serves all of them.
type convex struct {
	name  string
	dim   int
	scale float64 // how large the value is: a decrease below tolerance times this ends the search

	at    []float64 // where value and grad are wanted
	value float64
	grad  []float64
	ready chan struct{}

	unit  float64 // length of the search's first step
	point []float64
	evals int

	x     []float64 // the minimum
	steps int
	err   error
}

// minimiseTogether minimises the functions, from zero, by gonum's L-BFGS, one instance each. evaluate fills value and grad
// of the functions that it is given at their points. A search ends where half the squared norm of the gradient, which in
// good coordinates is the decrease left, is below tolerance times scale. What the functions are given together changes
// no result.
func minimiseTogether(ctx context.Context, functions []*convex, tolerance float64, evaluate func([]*convex)) error {
	type message struct {
		which int
		done  bool
	}
	messages := make(chan message)
	for i, f := range functions {
		f.ready = make(chan struct{})
		f.at, f.grad, f.point, f.unit = make([]float64, f.dim), make([]float64, f.dim), make([]float64, f.dim), 1
		go func() {
			f.minimise(ctx, tolerance, func() {
				messages <- message{which: i}
				<-f.ready
			})
			messages <- message{which: i, done: true}
		}()
	}
	active, waiting := len(functions), []int(nil)
	for active > 0 {
		m := <-messages
		if m.done {
			active--
		} else {
			waiting = append(waiting, m.which)
		}
		if len(waiting) == 0 || len(waiting) < active {
			continue
		}
		slices.Sort(waiting)
		batch := pick(functions, waiting)
		waiting = waiting[:0]
		evaluate(batch)
		for _, f := range batch {
			f.ready <- struct{}{}
		}
	}
	for _, f := range functions {
		if f.err != nil {
			return f.err
		}
	}
	return nil
}

// minimise runs one search; ask has value and grad computed at f.at.
func (f *convex) minimise(ctx context.Context, tolerance float64, ask func()) {
	defer func() {
		if r := recover(); r != nil {
			f.err = fmt.Errorf("probe: %s: L-BFGS: %v: %w; are the activations on a sane scale?", f.name, r, vectors.ErrNotConverged)
		}
	}()
	evaluate := func(x []float64) {
		floats.ScaleTo(f.point, f.unit, x)
		if f.evals > 0 && floats.Equal(f.point, f.at) {
			return
		}
		copy(f.at, f.point)
		f.evals++
		ask()
	}
	evaluate(make([]float64, f.dim))
	// gonum's first step has length 1: in units of the gradient, that is Newton's step where the Hessian is the identity
	if f.unit = floats.Norm(f.grad, 2); f.unit == 0 {
		f.x = make([]float64, f.dim)
		return
	}
	problem := optimize.Problem{
		Func: func(x []float64) float64 { evaluate(x); return f.value },
		Grad: func(g, x []float64) { evaluate(x); floats.ScaleTo(g, f.unit, f.grad) },
		Status: func() (optimize.Status, error) {
			if err := ctx.Err(); err != nil {
				return optimize.Failure, err
			}
			return optimize.NotTerminated, nil
		},
	}
	left := func() float64 { return floats.Dot(f.grad, f.grad) / 2 }
	settings := &optimize.Settings{
		MajorIterations: 1000,
		Converger: enough(func(l *optimize.Location) bool {
			norm := floats.Norm(l.Gradient, 2) / f.unit
			return norm*norm/2 <= tolerance*f.scale
		}),
	}
	result, err := optimize.Minimize(problem, make([]float64, f.dim), settings, &optimize.LBFGS{Store: 12, Linesearcher: &optimize.MoreThuente{}})
	if ctx.Err() != nil {
		f.err = fmt.Errorf("probe: %s: %w", f.name, ctx.Err())
		return
	}
	if result == nil {
		f.err = fmt.Errorf("probe: %s: %w: %w", f.name, vectors.ErrNotConverged, err)
		return
	}
	evaluate(result.X)
	f.x, f.steps = slices.Clone(f.at), result.MajorIterations
	// the line search gives up where float32 no longer resolves a decrease; the gradient then decides
	if rest := left(); !(rest <= max(100*tolerance, 1e-5)*f.scale) {
		f.err = fmt.Errorf("probe: %s: L-BFGS stopped after %d steps with %.3g of %.3g left to gain: %w; standardise the activations or penalise more",
			f.name, f.steps, rest, f.scale, vectors.ErrNotConverged)
	}
}

// enough ends a search when a condition holds.
type enough func(l *optimize.Location) bool

func (enough) Init(int) {}

func (e enough) Converged(l *optimize.Location) optimize.Status {
	if e(l) {
		return optimize.FunctionConvergence
	}
	return optimize.NotTerminated
}
