package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
)

// newtonLimit is the number of parameters up to which a Hessian is formed and factorised.
const newtonLimit = 2048

// objective is a convex function to be minimised.
type objective interface {
	dim() int
	// eval returns the value at w and fills grad and, where it is not nil, hess.
	eval(w, grad []float64, hess *mat.SymDense) float64
}

// minimise returns the minimum of o from zero and its value: Newton's method to rounding for up to newtonLimit
// parameters, L-BFGS beyond.
func minimise(ctx context.Context, what string, o objective) ([]float64, float64, error) {
	if o.dim() > newtonLimit {
		return lbfgs(ctx, what, o)
	}
	return newton(ctx, what, o)
}

// newton is damped Newton. Where the value no longer resolves a step (the expected decrease is below 1e-9 of it), the full
// step counts when it lowers the largest gradient, until that is at rounding.
func newton(ctx context.Context, what string, o objective) ([]float64, float64, error) {
	d := o.dim()
	w, grad, hess := make([]float64, d), make([]float64, d), mat.NewSymDense(d, nil)
	next, nextGrad := make([]float64, d), make([]float64, d)
	f := o.eval(w, grad, hess)
	for range 500 {
		if err := ctx.Err(); err != nil {
			return nil, 0, fmt.Errorf("vectors: %s: %w", what, err)
		}
		step, err := newtonStep(what, hess, grad)
		if err != nil {
			return nil, 0, err
		}
		decrease := floats.Dot(step, grad)
		near, rounding := decrease <= 1e-9*(1+math.Abs(f)), 64*epsilon*(1+math.Abs(f)) // of a sum over rows
		moved := false
		for t := 1.0; t >= 1e-10; t /= 2 {
			floats.AddScaledTo(next, w, -t, step)
			value := o.eval(next, nextGrad, nil)
			lower := value <= f-1e-4*t*decrease && value < f-4*rounding
			flatter := near && t == 1 && largest(nextGrad) < largest(grad) && value <= f+2*rounding
			if lower || flatter {
				moved = true
				break
			}
		}
		switch {
		case !moved && near:
			return w, f, nil
		case !moved:
			return nil, 0, fmt.Errorf("vectors: %s: no step lowers the objective (largest gradient %.3g): %w; scale the activations", what, largest(grad), ErrNotConverged)
		}
		w, next = next, w
		f = o.eval(w, grad, hess)
	}
	return nil, 0, fmt.Errorf("vectors: %s: 500 Newton steps (largest gradient %.3g): %w; penalise more", what, largest(grad), ErrNotConverged)
}

// newtonStep is hess^-1 grad; a Hessian that is singular (no curvature along the intercept) gets a little diagonal.
func newtonStep(what string, hess *mat.SymDense, grad []float64) ([]float64, error) {
	d := len(grad)
	step := mat.NewVecDense(d, nil)
	scale := max(mat.Trace(hess)/float64(d), 1e-300)
	for extra := 0.0; extra < scale; extra = max(10*extra, 1e-14*scale) {
		h := mat.NewSymDense(d, nil)
		h.CopySym(hess)
		var c mat.Cholesky
		if c.Factorize(addDiagonal(h, extra)) {
			_ = c.SolveVecTo(step, mat.NewVecDense(d, grad)) // its error is a condition number, and the line search judges the step
			return step.RawVector().Data, nil
		}
	}
	return nil, fmt.Errorf("vectors: %s: Hessian: %w; penalise more", what, ErrSingular)
}

// lbfgs is gonum's L-BFGS; its line search gives up within rounding of the optimum, so the gradient decides.
func lbfgs(ctx context.Context, what string, o objective) ([]float64, float64, error) {
	d := o.dim()
	start, grad := make([]float64, d), make([]float64, d)
	o.eval(start, grad, nil)
	tolerance := 1e-8 * max(largest(grad), 1e-300)
	problem := optimize.Problem{
		Func:   func(w []float64) float64 { return o.eval(w, make([]float64, d), nil) },
		Grad:   func(g, w []float64) { o.eval(w, g, nil) },
		Status: func() (optimize.Status, error) { return status(ctx) },
	}
	settings := &optimize.Settings{GradientThreshold: tolerance, MajorIterations: 20_000, Converger: optimize.NeverTerminate{}}
	result, err := optimize.Minimize(problem, start, settings, &optimize.LBFGS{Store: 30})
	if ctx.Err() != nil {
		return nil, 0, fmt.Errorf("vectors: %s: %w", what, ctx.Err())
	}
	if result == nil {
		return nil, 0, fmt.Errorf("vectors: %s: %w: %w", what, ErrNotConverged, err)
	}
	f := o.eval(result.X, grad, nil)
	if g := largest(grad); !(g <= 100*tolerance) {
		return nil, 0, fmt.Errorf("vectors: %s: L-BFGS stopped with largest gradient %.3g, wanted %.3g: %w; scale the activations", what, g, tolerance, ErrNotConverged)
	}
	return result.X, f, nil
}

func status(ctx context.Context) (optimize.Status, error) {
	if err := ctx.Err(); err != nil {
		return optimize.Failure, err
	}
	return optimize.NotTerminated, nil
}

// largest is the largest magnitude in v.
func largest(v []float64) float64 { return floats.Norm(v, math.Inf(1)) }
