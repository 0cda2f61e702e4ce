package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"loupe/vectors"
)

// CCSConfig says how contrast-consistent search is run.
type CCSConfig struct {
	Restarts int     `json:"restarts" doc:"random starts; the one with the least loss is kept"`
	L2       float64 `json:"l2" doc:"weight of half the squared norm of the weights, which keeps more dimensions than pairs from a loss of 0"`
	Scale    bool    `json:"scale" doc:"divide each side by its standard deviations, besides taking its mean away"`
}

// DefaultCCS is the paper's ten starts and weight decay.
func DefaultCCS() CCSConfig { return CCSConfig{Restarts: 10, L2: 0.01, Scale: true} }

// Validate names the field that is out of range.
func (c CCSConfig) Validate() error {
	switch {
	case c.Restarts < 1:
		return fmt.Errorf("probe: CCS: restarts is %d: %w; it is 1 or more", c.Restarts, vectors.ErrArgument)
	case !(c.L2 >= 0) || math.IsInf(c.L2, 0):
		return fmt.Errorf("probe: CCS: l2 is %v: %w; it is 0 or more", c.L2, vectors.ErrArgument)
	}
	return nil
}

// CCS is a probe of contrast pairs that was found without labels. Which of the two sides means yes is not known to it:
// Orient asks labels for that one bit.
type CCS struct {
	Yes, No     Linear  // the score of a statement put as true, and as false, on activations as they are
	Consistency float64 // mean of (p(yes) + p(no) - 1)²
	Confidence  float64 // mean of min(p(yes), p(no))²
	Losses      []float64
}

// FitCCS is contrast-consistent search (Burns et al., arXiv:2212.03827). Row i of yes is a statement put as true, row i of
// no the same put as false. Each side is normalised by itself, so that the difference between the two phrasings is gone;
// then the minimum over w and b of
//
//	mean_i (p(yes_i) - (1 - p(no_i)))² + mean_i min(p(yes_i), p(no_i))² + l2/2 |w|²,   p = sigmoid(w.x + b)
//
// is searched from random starts, by seed.
func FitCCS(ctx context.Context, yes, no Rows, cfg CCSConfig, seed uint64) (*CCS, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := yes.check("yes"); err != nil {
		return nil, err
	}
	if err := no.check("no"); err != nil {
		return nil, err
	}
	if yes.N != no.N || yes.D != no.D || yes.N < 2 {
		return nil, fmt.Errorf("probe: CCS: %d x %d rows put as true and %d x %d put as false: %w; give two or more pairs of one width", yes.N, yes.D, no.N, no.D, vectors.ErrShape)
	}
	p := &pairLoss{d: yes.D, l2: cfg.L2}
	var frames [2]frame
	for side, x := range []Rows{yes, no} {
		mean, deviation := x.spread(nil)
		if constant(deviation) {
			return nil, constantError("CCS")
		}
		if !cfg.Scale {
			for j := range deviation {
				deviation[j] = 1
			}
		}
		frames[side] = frame{mean, deviation}
		p.x[side] = frames[side].apply(x)
	}
	best, found := math.Inf(1), []float64(nil)
	fit := &CCS{}
	rng := rand.New(rand.NewPCG(seed, 0x636373)) // "ccs"
	for range cfg.Restarts {
		start := make([]float64, p.d+1)
		for j := range p.d {
			start[j] = rng.NormFloat64()
		}
		floats.Scale(1/floats.Norm(start, 2), start)
		at, loss, err := p.search(ctx, start)
		if err != nil {
			return nil, err
		}
		fit.Losses = append(fit.Losses, loss)
		if loss < best {
			best, found = loss, at
		}
	}
	if found == nil {
		return nil, fmt.Errorf("probe: CCS: no start led to a finite loss: %w; set scale", vectors.ErrNotConverged)
	}
	_, fit.Consistency, fit.Confidence = p.eval(found, nil)
	fit.Yes, fit.No = frames[0].linear(found), frames[1].linear(found)
	return fit, nil
}

// Scores are the log-odds of (p(yes) + 1 - p(no)) / 2 for pairs of rows: above 0 where the pair is taken as true.
func (c *CCS) Scores(yes, no Rows) ([]float64, error) {
	a, err := c.Yes.Scores(yes)
	if err != nil {
		return nil, err
	}
	b, err := c.No.Scores(no)
	if err != nil {
		return nil, err
	}
	if len(a) != len(b) {
		return nil, fmt.Errorf("probe: CCS: %d rows put as true and %d put as false: %w", len(a), len(b), vectors.ErrShape)
	}
	for i := range a {
		p := (sigmoid(a[i]) + sigmoid(-b[i])) / 2
		a[i] = math.Log(p / (1 - p))
	}
	return a, nil
}

// Orient flips the probe where its scores agree with the labels in fewer than half of the pairs, and returns the
// accuracy that it then has on them. Those labels are the only ones that it has seen.
func (c *CCS) Orient(yes, no Rows, positive []bool) (float64, error) {
	s, err := c.Scores(yes, no)
	if err != nil {
		return 0, err
	}
	if len(positive) != len(s) {
		return 0, fmt.Errorf("probe: CCS: %d labels for %d pairs: %w", len(positive), len(s), vectors.ErrShape)
	}
	right := 0
	for i, v := range s {
		if (v > 0) == positive[i] {
			right++
		}
	}
	if 2*right < len(s) {
		right = len(s) - right
		for _, l := range []Linear{c.Yes, c.No} {
			floats.Scale(-1, l.Weights)
			floats.Scale(-1, l.Bias)
		}
	}
	return float64(right) / float64(len(s)), nil
}

// frame is the mean and the standard deviation of one side.
type frame struct{ mean, deviation []float64 }

func (f frame) apply(x Rows) []float64 {
	out := make([]float64, len(x.Values))
	for i, v := range x.Values {
		if s := f.deviation[i%x.D]; s > 0 {
			out[i] = (float64(v) - f.mean[i%x.D]) / s
		}
	}
	return out
}

// linear is a point (w, b) of the search as a probe of activations as they are.
func (f frame) linear(at []float64) Linear {
	d := len(f.mean)
	l := Linear{D: d, Weights: make([]float64, d), Bias: []float64{at[d]}}
	for j, s := range f.deviation {
		if s > 0 {
			l.Weights[j] = at[j] / s
			l.Bias[0] -= l.Weights[j] * f.mean[j]
		}
	}
	return l
}

// pairLoss is the objective of CCS on normalised pairs.
type pairLoss struct {
	d  int
	l2 float64
	x  [2][]float64 // [n, d]
}

// eval returns the objective at (w, b) with its two terms, and fills grad where it is not nil.
func (p *pairLoss) eval(at, grad []float64) (value, consistency, confidence float64) {
	w, b := at[:p.d], at[p.d]
	n := len(p.x[0]) / p.d
	clear(grad)
	for i := range n {
		x0, x1 := p.x[0][i*p.d:(i+1)*p.d], p.x[1][i*p.d:(i+1)*p.d]
		p0, p1 := sigmoid(floats.Dot(w, x0)+b), sigmoid(floats.Dot(w, x1)+b)
		gap, low := p0+p1-1, min(p0, p1)
		consistency += gap * gap / float64(n)
		confidence += low * low / float64(n)
		if grad == nil {
			continue
		}
		g0, g1 := 2*gap, 2*gap
		if p0 < p1 {
			g0 += 2 * low
		} else {
			g1 += 2 * low
		}
		g0 *= p0 * (1 - p0) / float64(n)
		g1 *= p1 * (1 - p1) / float64(n)
		floats.AddScaled(grad[:p.d], g0, x0)
		floats.AddScaled(grad[:p.d], g1, x1)
		grad[p.d] += g0 + g1
	}
	if grad != nil {
		floats.AddScaled(grad[:p.d], p.l2, w)
	}
	return consistency + confidence + p.l2/2*floats.Dot(w, w), consistency, confidence
}

// search descends from a start. Where min has a kink a line search may give up: the best point seen counts.
func (p *pairLoss) search(ctx context.Context, start []float64) ([]float64, float64, error) {
	problem := optimize.Problem{
		Func: func(at []float64) float64 { v, _, _ := p.eval(at, nil); return v },
		Grad: func(grad, at []float64) { p.eval(at, grad) },
		Status: func() (optimize.Status, error) {
			if err := ctx.Err(); err != nil {
				return optimize.Failure, err
			}
			return optimize.NotTerminated, nil
		},
	}
	settings := &optimize.Settings{MajorIterations: 500, GradientThreshold: 1e-7}
	result, err := optimize.Minimize(problem, start, settings, &optimize.LBFGS{})
	if ctx.Err() != nil {
		return nil, 0, fmt.Errorf("probe: CCS: %w", ctx.Err())
	}
	if result == nil {
		return nil, 0, fmt.Errorf("probe: CCS: %w: %w", vectors.ErrNotConverged, err)
	}
	return result.X, result.F, nil
}

func sigmoid(s float64) float64 { return 1 / (1 + math.Exp(-s)) }
