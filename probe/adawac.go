package probe

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"loupe/vectors"
)

// AdaWACConfig says how a probe is trained with sample weights and consistency over augmentations.
type AdaWACConfig struct {
	Lambda    float64 `json:"lambda" doc:"weight of the consistency of a row against its classification; 0 leaves the classification alone"`
	L2        float64 `json:"l2" doc:"weight of half the squared norm of the weights, on standardised activations, against the mean loss"`
	Step      float64 `json:"step" doc:"first step of the ascent on the log-odds of the sample weights"`
	Rounds    int     `json:"rounds" doc:"steps of the ascent, at most"`
	Tolerance float64 `json:"tolerance" doc:"the search ends when the duality gap is below this share of the objective"`
}

// DefaultAdaWAC weighs both losses alike.
func DefaultAdaWAC() AdaWACConfig {
	return AdaWACConfig{Lambda: 1, L2: 0.01, Step: 2, Rounds: 200, Tolerance: 0.02}
}

// Validate names the field that is out of range.
func (c AdaWACConfig) Validate() error {
	switch {
	case !(c.Lambda >= 0) || math.IsInf(c.Lambda, 0):
		return fmt.Errorf("probe: AdaWAC: lambda is %v: %w; it is a weight of 0 or more", c.Lambda, vectors.ErrArgument)
	case !(c.L2 > 0) || math.IsInf(c.L2, 0):
		return fmt.Errorf("probe: AdaWAC: l2 is %v: %w; it is a weight above 0, which makes the problem strictly convex", c.L2, vectors.ErrArgument)
	case !(c.Step > 0) || math.IsInf(c.Step, 0) || c.Rounds < 1 || !(c.Tolerance > 0):
		return fmt.Errorf("probe: AdaWAC: step is %v, rounds %d, tolerance %v: %w; each is above 0", c.Step, c.Rounds, c.Tolerance, vectors.ErrArgument)
	}
	return nil
}

// AdaWAC is a linear probe of a concept with the sample weights that it was trained with.
type AdaWAC struct {
	Linear
	Sample []float64 // [n], beta: near 1 the row is classified, near 0 it is kept consistent
	Dual   []float64 // of every round, the least objective for that round's weights
	Gap    float64   // the objective under the worst weights less the best dual value: how far from the saddle point at most
}

// FitAdaWAC trains a linear probe by adaptively weighted augmentation consistency (Dong, Xie and Ward, arXiv:2210.01891): x
// [n, d] are rows with a concept's labels, first and second [n, d] two augmentations of each, such as its word in two other
// templates. With s = w.x + b on standardised activations it is the saddle point
//
//	min over w, b of  max over beta in [0, 1]^n of  mean_i beta_i log(1 + exp(-y_i s_i)) + (1 - beta_i) lambda (s'_i - s''_i)²  +  l2/2 |w|²
//
// The paper takes stochastic steps on both sides; here the inner minimum is exact, so that its losses are the gradient of a
// concave function of beta, which is climbed by exponentiated steps, and the duality gap says how far the result can be off.
func FitAdaWAC(ctx context.Context, x Rows, t Target, first, second Rows, cfg AdaWACConfig) (*AdaWAC, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if t.Task != Binary {
		return nil, fmt.Errorf("probe: AdaWAC: %s is a target of task %s: %w; give a concept", t.Name, t.Task, vectors.ErrArgument)
	}
	if err := t.Check(x.N, 1); err != nil {
		return nil, err
	}
	if len(t.Labelled()) != x.N {
		return nil, fmt.Errorf("probe: AdaWAC: %s labels %d of %d rows: %w; take the labelled ones", t.Name, len(t.Labelled()), x.N, vectors.ErrClasses)
	}
	if first.N != x.N || second.N != x.N || first.D != x.D || second.D != x.D {
		return nil, fmt.Errorf("probe: AdaWAC: augmentations of %d x %d and %d x %d for rows of %d x %d: %w; give two a row", first.N, first.D, second.N, second.D, x.N, x.D, vectors.ErrShape)
	}
	mean, deviation := x.spread(nil)
	if constant(deviation) {
		return nil, constantError("AdaWAC")
	}
	f := frame{mean, deviation}
	p := &adaLoss{d: x.D, cfg: cfg, x: f.apply(x), gap: f.apply(first), sign: make([]float64, x.N), beta: make([]float64, x.N)}
	floats.Sub(p.gap, f.apply(second))
	for i, c := range t.Class {
		p.sign[i], p.beta[i] = float64(2*c-1), 0.5
	}
	return p.saddle(ctx, f)
}

// adaLoss is the objective for given sample weights.
type adaLoss struct {
	d    int
	cfg  AdaWACConfig
	x    []float64 // [n, d], standardised
	gap  []float64 // [n, d], first less second augmentation, standardised
	sign []float64 // [n], ±1
	beta []float64 // [n]
}

// losses are the classification and the weighted consistency loss of every row at (w, b).
func (p *adaLoss) losses(at []float64) (classify, consistent []float64) {
	w, b := at[:p.d], at[p.d]
	for i, y := range p.sign {
		m := y * (floats.Dot(w, p.x[i*p.d:(i+1)*p.d]) + b)
		c := floats.Dot(w, p.gap[i*p.d:(i+1)*p.d])
		classify = append(classify, max(-m, 0)+math.Log1p(math.Exp(-math.Abs(m))))
		consistent = append(consistent, p.cfg.Lambda*c*c)
	}
	return classify, consistent
}

// eval returns the objective at (w, b) under beta and fills grad where it is not nil.
func (p *adaLoss) eval(at, grad []float64) float64 {
	classify, consistent := p.losses(at)
	w, n := at[:p.d], float64(len(p.sign))
	value := p.cfg.L2 / 2 * floats.Dot(w, w)
	clear(grad)
	for i, y := range p.sign {
		value += (p.beta[i]*classify[i] + (1-p.beta[i])*consistent[i]) / n
		if grad == nil {
			continue
		}
		x, gap := p.x[i*p.d:(i+1)*p.d], p.gap[i*p.d:(i+1)*p.d]
		slope := -y * sigmoid(-y*(floats.Dot(w, x)+at[p.d])) * p.beta[i] / n
		floats.AddScaled(grad[:p.d], slope, x)
		grad[p.d] += slope
		floats.AddScaled(grad[:p.d], 2*p.cfg.Lambda*floats.Dot(w, gap)*(1-p.beta[i])/n, gap)
	}
	if grad != nil {
		floats.AddScaled(grad[:p.d], p.cfg.L2, w)
	}
	return value
}

// worst is the objective at (w, b) under the weights that make it largest.
func (p *adaLoss) worst(at []float64) float64 {
	classify, consistent := p.losses(at)
	value := p.cfg.L2 / 2 * floats.Dot(at[:p.d], at[:p.d])
	for i := range classify {
		value += max(classify[i], consistent[i]) / float64(len(classify))
	}
	return value
}

// saddle climbs the dual function. A step that lowers it is taken back and halved.
func (p *adaLoss) saddle(ctx context.Context, f frame) (*AdaWAC, error) {
	fit := &AdaWAC{}
	at, odds := make([]float64, p.d+1), make([]float64, len(p.sign)) // of beta, in logs
	bestDual, bestPrimal, step := math.Inf(-1), math.Inf(1), p.cfg.Step
	var bestAt, from []float64 // the point of least worst value; the log-odds of the best dual value
	for range p.cfg.Rounds {
		for i, o := range odds {
			p.beta[i] = sigmoid(o)
		}
		found, dual, err := p.minimum(ctx, at)
		if err != nil {
			return nil, err
		}
		fit.Dual = append(fit.Dual, dual)
		if worst := p.worst(found); worst < bestPrimal {
			bestPrimal, bestAt = worst, found
		}
		if dual > bestDual {
			bestDual, from, at = dual, append([]float64(nil), odds...), found
			fit.Sample = append([]float64(nil), p.beta...)
		} else {
			step /= 2
		}
		if fit.Gap = bestPrimal - bestDual; fit.Gap <= p.cfg.Tolerance*bestPrimal || step < 1e-6*p.cfg.Step {
			break
		}
		classify, consistent := p.losses(at)
		for i := range odds {
			odds[i] = min(max(from[i]+step*(classify[i]-consistent[i]), -30), 30) // beyond, beta is 0 or 1 to rounding
		}
	}
	fit.Linear = f.linear(bestAt)
	fit.Objective, fit.Evaluations = bestPrimal, len(fit.Dual)
	return fit, nil
}

// minimum is the exact probe for the current beta, from a start.
func (p *adaLoss) minimum(ctx context.Context, start []float64) ([]float64, float64, error) {
	problem := optimize.Problem{
		Func: func(at []float64) float64 { return p.eval(at, nil) },
		Grad: func(grad, at []float64) { p.eval(at, grad) },
		Status: func() (optimize.Status, error) {
			if err := ctx.Err(); err != nil {
				return optimize.Failure, err
			}
			return optimize.NotTerminated, nil
		},
	}
	result, err := optimize.Minimize(problem, start, &optimize.Settings{MajorIterations: 500, GradientThreshold: 1e-6}, &optimize.LBFGS{})
	if ctx.Err() != nil {
		return nil, 0, fmt.Errorf("probe: AdaWAC: %w", ctx.Err())
	}
	if result == nil {
		return nil, 0, fmt.Errorf("probe: AdaWAC: %w: %w", vectors.ErrNotConverged, err)
	}
	return result.X, result.F, nil
}
