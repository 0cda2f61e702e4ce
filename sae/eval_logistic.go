package sae

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// LinearProbe is a linear classifier: positive where x . Coef + Intercept > 0.
type LinearProbe struct {
	Coef      []float64 `json:"coef"`
	Intercept float64   `json:"intercept"`
}

// Scores returns x . Coef + Intercept for every row.
func (l LinearProbe) Scores(x *Sparse) []float64 {
	out := make([]float64, x.Rows())
	for r := range out {
		index, value := x.Row(r)
		if len(value) == x.Cols { // every column, in order
			out[r] = l.Intercept + floats.Dot(l.Coef, value)
			continue
		}
		out[r] = l.Intercept
		for j, c := range index {
			out[r] += l.Coef[c] * value[j]
		}
	}
	return out
}

// FitLogistic minimises
//
//	|w|^2 / 2 + c sum_r log(1 + exp(-y_r (w . x_r + b))),   y = +1 where positive, else -1
//
// (scikit-learn's LogisticRegression; the intercept b is not penalised) to its exact optimum by Newton's method, whose
// steps are solved by preconditioned conjugate gradients: one product with x costs its stored entries, so that all of a
// large dictionary's latents can be fitted. Where x is dense the preconditioner is a factorised Hessian. Both classes must be
// there.
func FitLogistic(ctx context.Context, x *Sparse, positive []bool, c float64) (LinearProbe, error) {
	if x.Rows() != len(positive) || !(c > 0) {
		return LinearProbe{}, fmt.Errorf("sae: logistic regression: %d rows, %d labels, C = %v; labels must fit the rows and C be positive", x.Rows(), len(positive), c)
	}
	if n := countTrue(positive); n == 0 || n == len(positive) {
		return LinearProbe{}, fmt.Errorf("sae: logistic regression: %d of %d rows are positive; it needs both classes", n, len(positive))
	}
	p := &logisticProblem{x: x, positive: positive, c: c, slope: make([]float64, x.Rows()), diag: make([]float64, x.Cols+1)}
	theta := make([]float64, x.Cols+1) // the last entry is the intercept
	value := p.value(theta)
	for range maxNewton {
		if err := ctx.Err(); err != nil {
			return LinearProbe{}, fmt.Errorf("sae: logistic regression: %w", err)
		}
		grad := p.gradient(theta)
		step := p.solve(grad)
		decrement := -inner(grad, step) // twice the distance to the optimum's value, near it
		if decrement <= 1e-20*(1+value) {
			return LinearProbe{Coef: theta[:x.Cols], Intercept: theta[x.Cols]}, nil
		}
		next := make([]float64, len(theta))
		for rate := 1.0; ; rate /= 2 {
			for i := range next {
				next[i] = theta[i] + rate*step[i]
			}
			v := p.value(next)
			if v <= value-1e-4*rate*decrement+1e-13*(1+value) { // the last term is rounding
				theta, value = next, v
				break
			}
			if rate < 1e-12 {
				return LinearProbe{}, fmt.Errorf("sae: logistic regression: no descent from a loss of %v; are the activations finite?", value)
			}
		}
	}
	return LinearProbe{}, fmt.Errorf("sae: logistic regression: no optimum after %d Newton steps; scale the activations down", maxNewton)
}

const maxNewton = 200

// logisticProblem is the loss of FitLogistic with what its derivatives share.
type logisticProblem struct {
	x        *Sparse
	positive []bool
	c        float64
	slope    []float64     // second derivative of each row's loss, times c
	diag     []float64     // of the Hessian
	factor   *mat.Cholesky // of a Hessian of other slopes, or nil; see dense
}

func (p *logisticProblem) value(theta []float64) float64 {
	w := theta[:p.x.Cols]
	sum := inner(w, w) / 2
	for r, m := range (LinearProbe{w, theta[p.x.Cols]}).Scores(p.x) {
		if p.positive[r] {
			m = -m
		}
		sum += p.c * (max(m, 0) + math.Log1p(math.Exp(-math.Abs(m)))) // log(1 + e^m)
	}
	return sum
}

// gradient also sets slope and diag.
func (p *logisticProblem) gradient(theta []float64) []float64 {
	f := p.x.Cols
	grad := append([]float64{}, theta...)
	grad[f] = 0
	for i := range p.diag {
		p.diag[i] = 1
	}
	p.diag[f] = 0
	for r, m := range (LinearProbe{theta[:f], theta[f]}).Scores(p.x) {
		share := 1 / (1 + math.Exp(-m))
		g := p.c * share
		if p.positive[r] {
			g = -p.c / (1 + math.Exp(m))
		}
		p.slope[r] = p.c * share / (1 + math.Exp(m))
		index, value := p.x.Row(r)
		for j, c := range index {
			grad[c] += g * value[j]
			p.diag[c] += p.slope[r] * value[j] * value[j]
		}
		grad[f] += g
		p.diag[f] += p.slope[r]
	}
	p.diag[f] = max(p.diag[f], math.SmallestNonzeroFloat32)
	return grad
}

// hessian returns H v.
func (p *logisticProblem) hessian(v []float64) []float64 {
	f := p.x.Cols
	out := append([]float64{}, v...)
	out[f] = 0
	for r, m := range (LinearProbe{v[:f], v[f]}).Scores(p.x) {
		m *= p.slope[r]
		out[f] += m
		index, value := p.x.Row(r)
		if len(value) == f {
			floats.AddScaled(out[:f], m, value)
			continue
		}
		for j, c := range index {
			out[c] += m * value[j]
		}
	}
	return out
}

// solve returns about -H^-1 grad, the more exactly the smaller the gradient.
func (p *logisticProblem) solve(grad []float64) []float64 {
	dense := p.dense()
	if dense && p.factor == nil {
		p.factorise()
	}
	step, ok := p.conjugate(grad, dense && p.factor != nil)
	if !ok {
		p.factorise()
		step, _ = p.conjugate(grad, false)
	}
	return step
}

// conjugate is solve by preconditioned conjugate gradients; with limited it gives up after denseSteps of them.
func (p *logisticProblem) conjugate(grad []float64, limited bool) (step []float64, ok bool) {
	n := len(grad)
	step = make([]float64, n)
	rest, z := make([]float64, n), make([]float64, n)
	for i, g := range grad {
		rest[i] = -g
	}
	p.precondition(z, rest)
	dir := append([]float64{}, z...)
	old := inner(rest, z)
	norm := math.Sqrt(old)
	stop := norm * min(0.1, norm) * 1e-2
	for i := range 10 * n {
		if math.Sqrt(old) <= stop || old == 0 {
			break
		}
		if limited && i == denseSteps {
			return nil, false
		}
		h := p.hessian(dir)
		a := old / inner(dir, h)
		for i := range step {
			step[i] += a * dir[i]
			rest[i] -= a * h[i]
		}
		p.precondition(z, rest)
		now := inner(rest, z)
		for i := range dir {
			dir[i] = z[i] + now/old*dir[i]
		}
		old = now
	}
	return step, true
}

func inner(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func countTrue(b []bool) int {
	n := 0
	for _, v := range b {
		if v {
			n++
		}
	}
	return n
}
