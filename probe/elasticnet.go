package probe

import (
	"context"
	"fmt"
	"math"

	"loupe/vectors"
)

// ElasticNetConfig says how a path of sparse probes is fitted.
type ElasticNetConfig struct {
	Alpha      float64 `json:"alpha" doc:"share of the L1 penalty: 1 is the lasso, near 0 ridge"`
	Lambdas    int     `json:"lambdas" doc:"number of penalties on the path"`
	MinRatio   float64 `json:"min_ratio" doc:"last penalty of the path over the first, which gives no weight at all"`
	MaxNonzero int     `json:"max_nonzero" doc:"end the path at this number of weights; 0: no limit"`
	Tolerance  float64 `json:"tolerance" doc:"coordinate descent ends when no weight changes the objective by more than this share of the loss without weights"`
}

// DefaultElasticNet is glmnet's path.
func DefaultElasticNet() ElasticNetConfig {
	return ElasticNetConfig{Alpha: 0.95, Lambdas: 60, MinRatio: 0.01, Tolerance: 1e-9}
}

// Validate names the field that is out of range.
func (c ElasticNetConfig) Validate() error {
	bad := func(field string, v any, want string) error {
		return fmt.Errorf("probe: elastic net: %s is %v: %w; it is %s", field, v, vectors.ErrArgument, want)
	}
	switch {
	case !(c.Alpha > 0 && c.Alpha <= 1):
		return bad("alpha", c.Alpha, "above 0 and at most 1")
	case c.Lambdas < 1:
		return bad("lambdas", c.Lambdas, "1 or more")
	case !(c.MinRatio > 0 && c.MinRatio < 1):
		return bad("min_ratio", c.MinRatio, "between 0 and 1")
	case c.MaxNonzero < 0:
		return bad("max_nonzero", c.MaxNonzero, "0 or more")
	case !(c.Tolerance > 0 && c.Tolerance < 0.1):
		return bad("tolerance", c.Tolerance, "small and above 0, such as 1e-9")
	}
	return nil
}

// PathPoint is a probe on the path.
type PathPoint struct {
	Lambda  float64
	Linear          // on the activations as they are
	Support []int   // columns with weight, ascending
	Gain    float64 // share of the loss without weights that is gone
}

// ElasticNet fits a path of sparse probes to a binary target or a regression, from the penalty that gives no weight
// downwards. With columns u scaled to mean 0 and standard deviation 1, each point is the minimum over w and b of
//
//	(1/n) sum_i loss_i(w.u_i + b) + lambda (alpha |w|_1 + (1-alpha)/2 |w|²)
//
// where loss is log(1 + exp(-y s)) or (s - t)²/2 (Friedman, Hastie and Tibshirani, Journal of Statistical Software 33,
// 2010): Newton steps whose quadratic is minimised by coordinate descent, from the last point's weights, over the
// columns that the strong rule (Tibshirani et al., arXiv:1011.2234) keeps; the conditions of the optimum are then checked on
// all columns.
func ElasticNet(ctx context.Context, x Rows, t Target, cfg ElasticNetConfig) ([]PathPoint, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := x.check("x"); err != nil {
		return nil, err
	}
	if err := t.Check(x.N, 1); err != nil {
		return nil, err
	}
	if t.Task == Multiclass {
		return nil, fmt.Errorf("probe: elastic net: target %s is %s: %w; it needs a binary one or a regression", t.Name, t.Task, vectors.ErrArgument)
	}
	p, err := newElastic(x, t, cfg)
	if err != nil {
		return nil, err
	}
	var path []PathPoint
	for i := range cfg.Lambdas {
		lambda := p.first
		if cfg.Lambdas > 1 {
			lambda *= math.Pow(cfg.MinRatio, float64(i)/float64(cfg.Lambdas-1))
		}
		if err := p.solve(ctx, lambda); err != nil {
			return nil, fmt.Errorf("probe: elastic net of %s at penalty %.3g: %w", t.Name, lambda, err)
		}
		point := p.point(lambda)
		path = append(path, point)
		// what is left at almost no loss is separation, whose weights grow without end
		if cfg.MaxNonzero > 0 && len(point.Support) >= cfg.MaxNonzero || point.Gain > 0.999 {
			break
		}
	}
	return path, nil
}

// elastic is the state of coordinate descent along a path.
type elastic struct {
	cfg       ElasticNetConfig
	logistic  bool
	u         [][]float64 // [d][n], scaled columns; nil where a column does not vary
	mean, dev []float64
	y         []float64 // 0, 1 or the target
	w         []float64
	b         float64

	eta, weight, rest []float64 // [n]: scores; second derivatives; minus the first ones
	null              float64   // mean loss without weights
	first, last       float64   // penalties: the first of the path, the last one solved
}

func newElastic(x Rows, t Target, cfg ElasticNetConfig) (*elastic, error) {
	rows := t.Labelled()
	n := len(rows)
	p := &elastic{cfg: cfg, logistic: t.Task == Binary, y: make([]float64, n), u: make([][]float64, x.D), w: make([]float64, x.D)}
	if p.mean, p.dev = x.spread(rows); constant(p.dev) {
		return nil, constantError(t.Name)
	}
	for j, s := range p.dev {
		if s > 0 {
			p.u[j] = make([]float64, n)
		}
	}
	level := 0.0
	for i, r := range rows {
		if p.logistic {
			p.y[i] = float64(t.Class[r])
		} else {
			p.y[i] = t.Value[r]
		}
		level += p.y[i] / float64(n)
		for j, v := range x.Row(r) {
			if p.u[j] != nil {
				p.u[j][i] = (float64(v) - p.mean[j]) / p.dev[j]
			}
		}
	}
	p.b = level
	if p.logistic {
		p.b = math.Log(level / (1 - level))
	}
	p.eta, p.weight, p.rest = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range p.eta {
		p.eta[i] = p.b
	}
	p.null = p.derive()
	for j := range p.u {
		p.first = max(p.first, math.Abs(p.slope(j))/cfg.Alpha)
	}
	p.last = p.first
	return p, nil
}

// derive returns the mean loss at eta and sets weight and rest.
func (p *elastic) derive() float64 {
	loss := 0.0
	for i, s := range p.eta {
		if !p.logistic {
			p.rest[i], p.weight[i] = p.y[i]-s, 1
			loss += (p.y[i] - s) * (p.y[i] - s) / 2
			continue
		}
		e := math.Exp(-math.Abs(s))
		share := 1 / (1 + e)
		loss += math.Log1p(e) + max(s, 0) - p.y[i]*s
		p.weight[i] = max(share*share*e, 1e-6)
		if s < 0 {
			share *= e
		}
		p.rest[i] = p.y[i] - share
	}
	return loss / float64(len(p.eta))
}

// slope is minus the mean loss's derivative by weight j.
func (p *elastic) slope(j int) float64 {
	if p.u[j] == nil {
		return 0
	}
	s := 0.0
	for i, v := range p.u[j] {
		s += v * p.rest[i]
	}
	return s / float64(len(p.rest))
}

// objective is what the point minimises, from the mean loss.
func (p *elastic) objective(loss, lambda float64) float64 {
	for _, w := range p.w {
		loss += lambda * (p.cfg.Alpha*math.Abs(w) + (1-p.cfg.Alpha)/2*w*w)
	}
	return loss
}

func (p *elastic) point(lambda float64) PathPoint {
	out := PathPoint{Lambda: lambda, Gain: 1 - p.derive()/p.null}
	out.Linear = Linear{D: len(p.w), Weights: make([]float64, len(p.w)), Bias: []float64{p.b}}
	for j, w := range p.w {
		if w != 0 {
			out.Support = append(out.Support, j)
			out.Weights[j] = w / p.dev[j]
			out.Bias[0] -= out.Weights[j] * p.mean[j]
		}
	}
	return out
}
