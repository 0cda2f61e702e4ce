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

// Sequences are the tokens' activations of texts, one after the other.
type Sequences struct {
	Rows
	Start []int // text i has the rows Start[i] to Start[i+1]
}

// Len returns the number of texts.
func (s Sequences) Len() int { return len(s.Start) - 1 }

// Take returns the texts that index names, in its order.
func (s Sequences) Take(index []int) Sequences {
	out := Sequences{Start: []int{0}}
	var rows []int
	for _, i := range index {
		for r := s.Start[i]; r < s.Start[i+1]; r++ {
			rows = append(rows, r)
		}
		out.Start = append(out.Start, len(rows))
	}
	out.Rows = s.Rows.Take(rows)
	return out
}

func (s Sequences) check() error {
	if len(s.Start) < 2 || s.Start[0] != 0 || s.Start[len(s.Start)-1] != s.N {
		return fmt.Errorf("probe: attention: sequences of %d rows start at %v: %w", s.N, s.Start[:min(len(s.Start), 4)], vectors.ErrShape)
	}
	for i := range s.Len() {
		if s.Start[i+1] <= s.Start[i] {
			return fmt.Errorf("probe: attention: text %d has no tokens: %w; leave it out", i, vectors.ErrShape)
		}
	}
	return s.Rows.check("tokens")
}

// AttentionConfig says how an attention-pooling probe is fitted.
type AttentionConfig struct {
	L2       float64 `json:"l2" doc:"weight of half the squared norm of query and weights, on standardised activations, against the mean loss"`
	Restarts int     `json:"restarts" doc:"starts: the first with equal attention, the others random by seed; the least objective is kept"`
}

// DefaultAttention is a little weight decay and a few starts, as the problem is not convex.
func DefaultAttention() AttentionConfig { return AttentionConfig{L2: 1e-2, Restarts: 4} }

// Validate names the field that is out of range.
func (c AttentionConfig) Validate() error {
	switch {
	case !(c.L2 > 0) || math.IsInf(c.L2, 0):
		return fmt.Errorf("probe: attention: l2 is %v: %w; it is above 0", c.L2, vectors.ErrArgument)
	case c.Restarts < 1:
		return fmt.Errorf("probe: attention: restarts is %d: %w; it is 1 or more", c.Restarts, vectors.ErrArgument)
	}
	return nil
}

// Attention is a probe of a text's tokens. With a query q, weights W and biases b,
//
//	a = softmax over tokens (q.x_t),   scores = W sum_t a_t x_t + b
type Attention struct {
	Query     []float64 // [D]
	Linear              // W, b
	Objective float64
}

// FitAttention fits an attention-pooling probe to a target of one label a text: the minimum of the mean loss (logistic or
// softmax) plus l2/2 (|q|² + |W|²), by L-BFGS from several starts.
func FitAttention(ctx context.Context, x Sequences, t Target, cfg AttentionConfig, seed uint64) (*Attention, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	if err := t.Check(x.Len(), 1); err != nil {
		return nil, err
	}
	if t.Task == Regression {
		return nil, fmt.Errorf("probe: attention: target %s is a regression: %w; it needs classes", t.Name, vectors.ErrArgument)
	}
	labelled := t.Labelled()
	x, t = x.Take(labelled), t.Take(labelled)
	mean, deviation := x.spread(nil)
	if constant(deviation) {
		return nil, constantError(t.Name)
	}
	f := frame{mean, deviation}
	scaled := x
	scaled.Values = appendFloat32(nil, f.apply(x.Rows))
	p := newAttentionLoss(scaled, t, cfg.L2)
	rng := rand.New(rand.NewPCG(seed, 0x61747465)) // "atte"
	best, at := math.Inf(1), []float64(nil)
	for start := range cfg.Restarts {
		from := make([]float64, p.dim())
		if start > 0 {
			for j := range x.D {
				from[j] = rng.NormFloat64() / math.Sqrt(float64(x.D))
			}
		}
		to, value, err := p.search(ctx, from)
		if err != nil {
			return nil, fmt.Errorf("probe: attention probe of %s: %w", t.Name, err)
		}
		if value < best {
			best, at = value, to
		}
	}
	out := &Attention{Query: make([]float64, x.D), Linear: Linear{D: x.D, Weights: make([]float64, p.k*x.D), Bias: make([]float64, p.k)}, Objective: best}
	for j, s := range deviation {
		if s == 0 {
			continue
		}
		out.Query[j] = at[j] / s
		for c := range p.k {
			w := at[(c+1)*x.D+j] / s
			out.Weights[c*x.D+j] = w
			out.Bias[c] -= w * mean[j]
		}
	}
	floats.Add(out.Bias, at[(p.k+1)*x.D:])
	return out, nil
}

// Scores returns [texts, outputs], and the attention of every token.
func (a *Attention) Scores(x Sequences) (scores, attention []float64, err error) {
	if err := x.check(); err != nil {
		return nil, nil, err
	}
	if x.D != a.D {
		return nil, nil, fmt.Errorf("probe: activations of width %d for a probe of width %d: %w; is it of another model or site?", x.D, a.D, vectors.ErrShape)
	}
	k := len(a.Bias)
	z := linearScores(x.Rows, appendFloat32(appendFloat32(nil, a.Query), a.Weights), make([]float32, k+1)) // [tokens, 1+k]
	scores, attention = make([]float64, x.Len()*k), make([]float64, x.N)
	for i := range x.Len() {
		lo, hi := x.Start[i], x.Start[i+1]
		attend(attention[lo:hi], z[lo*(k+1):], k+1)
		for c := range k {
			scores[i*k+c] = a.Bias[c]
			for r := lo; r < hi; r++ {
				scores[i*k+c] += attention[r] * z[r*(k+1)+1+c]
			}
		}
	}
	return scores, attention, nil
}

// attend fills weight with the softmax of every stride-th value of z.
func attend(weight, z []float64, stride int) {
	top := math.Inf(-1)
	for r := range weight {
		top = max(top, z[r*stride])
	}
	sum := 0.0
	for r := range weight {
		weight[r] = math.Exp(z[r*stride] - top)
		sum += weight[r]
	}
	floats.Scale(1/sum, weight)
}

// attentionLoss is the objective on scaled tokens. Parameters are q [d], W [k, d] and b [k].
type attentionLoss struct {
	x    Sequences
	head head
	k    int
	l2   float64
	pass *pass
}

func newAttentionLoss(x Sequences, t Target, l2 float64) *attentionLoss {
	p := &attentionLoss{x: x, k: t.Outputs(), l2: l2, pass: newPass(x.Rows), head: logisticHead(t.Class)}
	if t.Task == Multiclass {
		p.head = softmaxHead{t.Class, p.k}
	}
	return p
}

func (p *attentionLoss) dim() int { return (p.k+1)*p.x.D + p.k }

// eval returns the objective and fills grad.
func (p *attentionLoss) eval(at, grad []float64) float64 {
	d, k, n := p.x.D, p.k, p.x.Len()
	cols := k + 1
	z := linearScores(p.x.Rows, appendFloat32(nil, at[:cols*d]), make([]float32, cols)) // [tokens, 1+k]
	weight, slope := make([]float64, p.x.N), make([]float32, k*blockRows)
	bias := at[cols*d:]
	clear(grad)
	loss := 0.0
	for first := 0; first < n; first += blockRows {
		texts := min(blockRows, n-first)
		for i := range texts {
			lo, hi := p.x.Start[first+i], p.x.Start[first+i+1]
			attend(weight[lo:hi], z[lo*cols:], cols)
			for c := range k {
				s := bias[c]
				for r := lo; r < hi; r++ {
					s += weight[r] * z[r*cols+1+c]
				}
				slope[c*blockRows+i] = float32(s)
			}
		}
		scores := append([]float32(nil), slope...)
		loss += p.head.slope(slope, first, texts)
		// z becomes the derivative by the tokens' products: of q, a_t sum_c g_c (u_tc - score_c), of W_c, a_t g_c
		for i := range texts {
			for r := p.x.Start[first+i]; r < p.x.Start[first+i+1]; r++ {
				by := 0.0
				for c := range k {
					g := float64(slope[c*blockRows+i]) / float64(n)
					by += g * (z[r*cols+1+c] - (float64(scores[c*blockRows+i]) - bias[c]))
					z[r*cols+1+c] = weight[r] * g
				}
				z[r*cols] = weight[r] * by
			}
			for c := range k {
				grad[cols*d+c] += float64(slope[c*blockRows+i]) / float64(n)
			}
		}
	}
	p.pass.gather(z, cols, grad[:cols*d])
	floats.AddScaled(grad[:cols*d], p.l2, at[:cols*d])
	return loss/float64(n) + p.l2/2*floats.Dot(at[:cols*d], at[:cols*d])
}

func (p *attentionLoss) search(ctx context.Context, start []float64) ([]float64, float64, error) {
	grad, at := make([]float64, p.dim()), []float64(nil)
	value := func(x []float64) float64 {
		at = append(at[:0], x...)
		return p.eval(x, grad)
	}
	problem := optimize.Problem{
		Func: value,
		Grad: func(g, x []float64) {
			if !floats.Equal(at, x) {
				value(x)
			}
			copy(g, grad)
		},
		Status: func() (optimize.Status, error) {
			if err := ctx.Err(); err != nil {
				return optimize.Failure, err
			}
			return optimize.NotTerminated, nil
		},
	}
	// float32 products resolve no smaller gradient
	settings := &optimize.Settings{MajorIterations: 300, GradientThreshold: 1e-5}
	result, err := optimize.Minimize(problem, start, settings, &optimize.LBFGS{Linesearcher: &optimize.MoreThuente{}})
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	if result == nil {
		return nil, 0, fmt.Errorf("%w: %w", vectors.ErrNotConverged, err)
	}
	return result.X, result.F, nil
}
