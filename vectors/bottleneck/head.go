package bottleneck

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Head is an affine map from scores (or embeddings) to logits, W u + b.
type Head struct {
	Weights *mat.Dense // [k, m]
	Bias    []float64  // [k]
}

// Logits returns [n, k] for rows u [n, m].
func (h Head) Logits(u *mat.Dense) (*mat.Dense, error) {
	k, m := h.Weights.Dims()
	n, _, err := checkMatrix("scores", u, m)
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, k, nil)
	out.Mul(u, h.Weights.T())
	for i := range n {
		floats.Add(out.RawRowView(i), h.Bias)
	}
	return out, nil
}

// Nonzero counts the weights of each class that are not 0.
func (h Head) Nonzero() []int {
	k, _ := h.Weights.Dims()
	out := make([]int, k)
	for c := range k {
		for _, w := range h.Weights.RawRowView(c) {
			if w != 0 {
				out[c]++
			}
		}
	}
	return out
}

// HeadConfig says how a linear head is fitted.
type HeadConfig struct {
	Lambda    float64 `json:"lambda" doc:"weight of the penalty against the mean loss"`
	Alpha     float64 `json:"alpha" doc:"share of the L1 penalty: 1 gives the sparsest head, 0 none at 0"`
	Tolerance float64 `json:"tolerance" doc:"the search ends when no element of the proximal gradient is larger"`
	Steps     int     `json:"steps" doc:"most steps of the search"`
}

// DefaultHead is a sparse head: the published mixture of penalties (0.99 of it L1).
func DefaultHead() HeadConfig {
	return HeadConfig{Lambda: 0.01, Alpha: 0.99, Tolerance: 1e-5, Steps: 5000}
}

// Validate names the field that is out of range.
func (c HeadConfig) Validate() error {
	switch {
	case !(c.Lambda >= 0) || math.IsInf(c.Lambda, 0):
		return argument("head: lambda is %v; it must be 0 or more", c.Lambda)
	case !(c.Alpha >= 0 && c.Alpha <= 1):
		return argument("head: alpha is %v; it must be from 0 to 1", c.Alpha)
	case !(c.Tolerance > 0):
		return argument("head: tolerance is %v; use 1e-5", c.Tolerance)
	case c.Steps < 1:
		return argument("head: steps is %d; use 5000", c.Steps)
	}
	return nil
}

// FitHead fits a softmax head to rows u [n, m] with labels y among k classes, the minimum over W and b of
//
//	(1/n) sum_i -log softmax(W u_i + b + o_i)[y_i] + lambda (alpha |W|_1 + (1-alpha)/2 |W|²)
//
// by accelerated proximal gradient (Beck and Teboulle, SIAM Journal on Imaging Sciences 2, 2009) with restarts, so that
// weights that the penalty removes are exactly 0. The biases are not penalised. offset [n, k] holds logits o that are given,
// nil for none.
func FitHead(ctx context.Context, u *mat.Dense, y []int, k int, offset *mat.Dense, cfg HeadConfig) (Head, error) {
	if err := cfg.Validate(); err != nil {
		return Head{}, err
	}
	n, m, err := checkMatrix("scores", u, 0)
	if err != nil {
		return Head{}, err
	}
	if err := checkLabels(n, y, k); err != nil {
		return Head{}, err
	}
	if offset != nil {
		if r, _, err := checkMatrix("given logits", offset, k); err != nil || r != n {
			return Head{}, fmt.Errorf("bottleneck: given logits of %d rows for %d: %w", r, n, vectors.ErrShape)
		}
	}
	p := &headProblem{u: u, y: y, offset: offset, n: n, m: m, k: k, cfg: cfg, logits: mat.NewDense(n, k, nil)}
	return p.solve(ctx)
}

// headProblem is the smooth part of the objective; a point is W [k, m] and then b [k].
type headProblem struct {
	u       *mat.Dense
	y       []int
	offset  *mat.Dense
	n, m, k int
	cfg     HeadConfig
	logits  *mat.Dense // scratch [n, k]
}

func (p *headProblem) head(at []float64) Head {
	return Head{Weights: mat.NewDense(p.k, p.m, at[:p.k*p.m]), Bias: at[p.k*p.m:]}
}

// smooth returns the mean loss and the L2 penalty, and with a gradient fills it.
func (p *headProblem) smooth(at, gradient []float64) float64 {
	h := p.head(at)
	p.logits.Mul(p.u, h.Weights.T())
	loss := 0.0
	for i := range p.n {
		row := p.logits.RawRowView(i)
		floats.Add(row, h.Bias)
		if p.offset != nil {
			floats.Add(row, p.offset.RawRowView(i))
		}
		loss += softmaxLoss(row, p.y[i])
	}
	ridge := p.cfg.Lambda * (1 - p.cfg.Alpha)
	norm := floats.Dot(at[:p.k*p.m], at[:p.k*p.m])
	if gradient != nil {
		p.logits.Scale(1/float64(p.n), p.logits)
		mat.NewDense(p.k, p.m, gradient[:p.k*p.m]).Mul(p.logits.T(), p.u)
		floats.AddScaled(gradient[:p.k*p.m], ridge, at[:p.k*p.m])
		bias := gradient[p.k*p.m:]
		clear(bias)
		for i := range p.n {
			floats.Add(bias, p.logits.RawRowView(i))
		}
	}
	return loss/float64(p.n) + ridge/2*norm
}

// softmaxLoss returns the negative log-likelihood of a label and turns the logits into its gradient by them.
func softmaxLoss(logits []float64, label int) float64 {
	norm := floats.LogSumExp(logits)
	loss := norm - logits[label]
	for c, z := range logits {
		logits[c] = math.Exp(z - norm)
	}
	logits[label]--
	return loss
}

func (p *headProblem) solve(ctx context.Context) (Head, error) {
	size := p.k*p.m + p.k
	x, previous, next := make([]float64, size), make([]float64, size), make([]float64, size)
	from, gradient := make([]float64, size), make([]float64, size)
	lasso := p.cfg.Lambda * p.cfg.Alpha
	curvature, momentum := 1.0, 1.0
	for step := range p.cfg.Steps {
		if err := ctx.Err(); err != nil {
			return Head{}, fmt.Errorf("bottleneck: head: %w", err)
		}
		value := p.smooth(from, gradient)
		for {
			for i, g := range gradient {
				next[i] = from[i] - g/curvature
			}
			shrink(next[:p.k*p.m], lasso/curvature)
			model := value
			for i, g := range gradient {
				d := next[i] - from[i]
				model += g*d + curvature/2*d*d
			}
			if p.smooth(next, nil) <= model+1e-13*(1+math.Abs(model)) { // rounding of the two sums
				break
			}
			curvature *= 2
		}
		largest, uphill := 0.0, 0.0
		for i := range next {
			d := next[i] - from[i]
			largest = max(largest, curvature*math.Abs(d))
			uphill -= d * (next[i] - x[i])
		}
		x, previous, next = next, x, previous
		if largest <= p.cfg.Tolerance {
			return p.head(x), nil
		}
		if uphill > 0 { // the momentum leads away: begin anew (O'Donoghue and Candès, arXiv:1204.3982)
			momentum = 1
		}
		after := (1 + math.Sqrt(1+4*momentum*momentum)) / 2
		for i := range from {
			from[i] = x[i] + (momentum-1)/after*(x[i]-previous[i])
		}
		momentum = after
		if step%20 == 19 {
			curvature /= 2 // where it is gentler now
		}
	}
	return Head{}, fmt.Errorf("bottleneck: head: %d steps: %w; penalise more (lambda %g), or allow more steps", p.cfg.Steps, vectors.ErrNotConverged, p.cfg.Lambda)
}

// shrink is the proximal map of t |w|_1.
func shrink(w []float64, t float64) {
	for i, v := range w {
		w[i] = math.Copysign(max(math.Abs(v)-t, 0), v)
	}
}
