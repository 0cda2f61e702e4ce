package probe

import (
	"context"
	"fmt"
	"math"

	"loupe/vectors"
)

// Multinomial fits one softmax probe to each target of several classes, the minimum over W and b of
//
//	0.5 sum_cj (s_j W_cj)² - C sum_i log softmax(W x_i + b)[y_i]
//
// with C and s as in Logistic; the biases are not penalised and sum to 0. All targets are fitted at once.
func Multinomial(ctx context.Context, x Rows, targets []Target, cfg LogisticConfig) ([]Linear, error) {
	return fitHeads(ctx, x, targets, cfg, Multiclass, func(t Target) head { return softmaxHead{t.Class, t.K()} })
}

// fitHeads fits targets of a task by the head that a target gives.
func fitHeads(ctx context.Context, x Rows, targets []Target, cfg LogisticConfig, task Task, of func(Target) head) ([]Linear, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := x.check("x"); err != nil {
		return nil, err
	}
	fits := make([]*linearFit, len(targets))
	for i, t := range targets {
		if err := t.Check(x.N, 1); err != nil {
			return nil, err
		}
		if t.Task != task {
			return nil, fmt.Errorf("probe: logistic: target %s is %s: %w; it needs a %s one", t.Name, t.Task, vectors.ErrArgument, task)
		}
		f := &linearFit{head: of(t), name: "logistic probe of " + t.Name, c: cfg.C, rows: len(t.Labelled())}
		for _, m := range t.Counts() {
			f.zero -= float64(m) * math.Log(float64(m)/float64(f.rows))
		}
		if cfg.Standardize {
			if _, f.penalty = x.spread(t.Labelled()); constant(f.penalty) {
				return nil, constantError(t.Name)
			}
		}
		fits[i] = f
	}
	if err := fitTogether(ctx, x, fits, cfg.Tolerance); err != nil {
		return nil, err
	}
	out := make([]Linear, len(fits))
	for i, f := range fits {
		out[i] = Linear{D: x.D, Weights: f.weights, Bias: f.bias, Objective: f.objective, Evaluations: f.evals}
	}
	return out, nil
}

func constantError(name string) error {
	return fmt.Errorf("probe: target %s: no column of the activations varies over its rows: %w; is this position the same token in every text?", name, vectors.ErrSingular)
}

// softmaxHead is the negative log-likelihood of classes 0..k-1; Unlabelled rows count for nothing.
type softmaxHead struct {
	class []int
	k     int
}

func (h softmaxHead) columns() int { return h.k }

func (h softmaxHead) slope(z []float32, first, rows int) float64 {
	loss := 0.0
	for r := range rows {
		label := h.class[first+r]
		if label == Unlabelled {
			for c := range h.k {
				z[c*blockRows+r] = 0
			}
			continue
		}
		top := math.Inf(-1)
		for c := range h.k {
			top = max(top, float64(z[c*blockRows+r]))
		}
		sum := 0.0
		for c := range h.k {
			sum += math.Exp(float64(z[c*blockRows+r]) - top)
		}
		norm := top + math.Log(sum)
		loss += norm - float64(z[label*blockRows+r])
		for c := range h.k {
			p := math.Exp(float64(z[c*blockRows+r]) - norm)
			if c == label {
				p--
			}
			z[c*blockRows+r] = float32(p)
		}
	}
	return loss
}
