package erase

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/adam"
	"loupe/vectors"
)

// TrainConfig are the settings of TrainClassifier; the paper's are not published.
type TrainConfig struct {
	Hidden      int     `json:"hidden" doc:"hidden units of the classifier's MLP"`
	Epochs      int     `json:"epochs" doc:"passes over the texts"`
	Batch       int     `json:"batch" doc:"texts of one step"`
	LR          float64 `json:"lr" doc:"learning rate of Adam"`
	Attention   bool    `json:"attention" doc:"learn the query; else it is 0, all tokens count the same, and refining moves all of them"`
	WeightDecay float64 `json:"weight_decay" doc:"decoupled, of the matrices"`
}

// DefaultTrain returns a small budget: a few hundred texts are learnt in seconds.
func DefaultTrain() TrainConfig {
	return TrainConfig{Attention: true, Hidden: 16, Epochs: 6, Batch: 32, LR: 2e-3, WeightDecay: 0.05}
}

// Validate fails on a setting out of its range.
func (c TrainConfig) Validate() error {
	if c.Hidden < 1 || c.Epochs < 1 || c.Batch < 1 || !(c.LR > 0) || math.IsInf(c.LR, 0) {
		return fmt.Errorf("erase: hidden %d, epochs %d, batch %d, lr %v: %w; use 1 or more and a rate above 0", c.Hidden, c.Epochs, c.Batch, c.LR, vectors.ErrArgument)
	}
	return checkScale("weight_decay", c.WeightDecay)
}

// TrainClassifier learns a concept's classifier from texts' states by binary cross-entropy, in which texts with the concept and without
// it weigh the same together, with AdamW. losses are the means over each epoch. Texts may differ in length; padding is not read.
func TrainClassifier(ctx context.Context, texts []Text, concept []bool, cfg TrainConfig, seed uint64) (c *Classifier, losses []float64, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	if len(texts) != len(concept) || len(texts) == 0 {
		return nil, nil, fmt.Errorf("erase: %d texts with %d labels: %w", len(texts), len(concept), vectors.ErrShape)
	}
	weight, err := balance(concept)
	if err != nil {
		return nil, nil, err
	}
	d := 0
	for i, t := range texts {
		if _, err := t.check(fmt.Sprintf("text %d", i), d); err != nil {
			return nil, nil, err
		}
		_, d = t.X.Dims()
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	w, g := newWeights(d, cfg.Hidden), newWeights(d, cfg.Hidden)
	w.draw(rng)
	if !cfg.Attention {
		clear(w.Query)
	}
	solver := adam.NewSolver(cfg.LR, len(w.flat))
	step := 0.0
	for range cfg.Epochs {
		order, sum := rng.Perm(len(texts)), 0.0
		for lo := 0; lo < len(order); lo += cfg.Batch {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			part := order[lo:min(lo+cfg.Batch, len(order))]
			loss := w.gradient(take(texts, part), take(concept, part), take(weight, part), g)
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return nil, nil, fmt.Errorf("erase: classifier: the loss is %v at step %v: %w; lower the learning rate", loss, step+1, vectors.ErrNotFinite)
			}
			sum += loss * float64(len(part)) / float64(len(order))
			if !cfg.Attention {
				clear(g.Query)
			}
			step++
			floats.Scale(1-cfg.LR*cfg.WeightDecay, w.matrices)
			solver.Step(w.flat, g.flat)
		}
		losses = append(losses, sum)
	}
	return w.classifier(), losses, nil
}

// balance weighs each text so that both classes have half of the weight, of 1 on average.
func balance(concept []bool) ([]float64, error) {
	with := 0
	for _, c := range concept {
		if c {
			with++
		}
	}
	if with == 0 || with == len(concept) {
		return nil, fmt.Errorf("erase: %d of %d texts hold the concept: %w; give some of both kinds", with, len(concept), vectors.ErrClasses)
	}
	out := make([]float64, len(concept))
	for i, c := range concept {
		n := len(concept) - with
		if c {
			n = with
		}
		out[i] = float64(len(concept)) / (2 * float64(n))
	}
	return out, nil
}

// weights are a classifier's, or their gradient, in one slice.
type weights struct {
	Classifier
	flat     []float64
	matrices []float64 // the part of flat that W_K, W_V and W1 take
}

func newWeights(d, h int) *weights {
	w := &weights{flat: make([]float64, d+2*d*d+d*h+2*h+1)}
	rest := w.flat
	cut := func(n int) (part []float64) {
		part, rest = rest[:n:n], rest[n:]
		return part
	}
	w.Query = cut(d)
	w.matrices = rest[:2*d*d+d*h]
	w.Key, w.Value, w.Hidden = mat.NewDense(d, d, cut(d*d)), mat.NewDense(d, d, cut(d*d)), mat.NewDense(d, h, cut(d*h))
	w.HiddenB, w.Output = cut(h), cut(h)
	return w
}

// classifier is a copy that shares nothing but the weights' memory.
func (w *weights) classifier() *Classifier {
	c := w.Classifier
	c.OutputB = w.flat[len(w.flat)-1]
	return &c
}

// draw initialises so that each product keeps the scale of what it reads; biases stay 0.
func (w *weights) draw(rng *rand.Rand) {
	d, h := w.Hidden.Dims()
	normal := func(to []float64, sd float64) {
		for i := range to {
			to[i] = sd * rng.NormFloat64()
		}
	}
	normal(w.Query, 1)
	normal(w.matrices, 1/math.Sqrt(float64(d)))
	normal(w.Output, 1/math.Sqrt(float64(h)))
}

func take[T any](list []T, part []int) []T {
	out := make([]T, len(part))
	for i, at := range part {
		out[i] = list[at]
	}
	return out
}

// gradient writes the gradient of the weighted mean cross-entropy of texts to g, and returns the loss.
func (w *weights) gradient(texts []Text, concept []bool, weight []float64, g *weights) (loss float64) {
	d, h := w.Hidden.Dims()
	n := len(texts)
	root := math.Sqrt(float64(d))
	var looks mat.VecDense
	looks.MulVec(w.Key, mat.NewVecDense(d, w.Query))
	looks.ScaleVec(1/root, &looks)
	means, attention := mat.NewDense(n, d, nil), make([][]float64, n)
	valid := func(i int) mat.Matrix { return texts[i].X.Slice(0, texts[i].Length, 0, d) }
	for i := range texts {
		var scores mat.VecDense
		scores.MulVec(valid(i), &looks)
		attention[i] = scores.RawVector().Data
		softmax(attention[i], 1)
		mat.NewVecDense(d, means.RawRowView(i)).MulVec(valid(i).T(), &scores)
	}
	var pooled, before mat.Dense
	pooled.Mul(means, w.Value)
	before.Mul(&pooled, w.Hidden)
	slope := mat.NewDense(n, h, nil)
	clear(g.flat)
	for i := range texts {
		logit := w.flat[len(w.flat)-1]
		act := make([]float64, h)
		for j := range act {
			x := before.At(i, j) + w.HiddenB[j]
			cdf := 0.5 * math.Erfc(-x/math.Sqrt2)
			act[j] = x * cdf
			slope.Set(i, j, w.Output[j]*(cdf+x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)))
			logit += w.Output[j] * act[j]
		}
		sign := 1.0 // loss is log(1 + exp(sign logit))
		if concept[i] {
			sign = -1
		}
		share := weight[i] / float64(n)
		loss += share * (max(sign*logit, 0) + math.Log1p(math.Exp(-math.Abs(logit))))
		delta := share * sign * sigmoid(sign*logit)
		floats.Scale(delta, slope.RawRowView(i))
		floats.AddScaled(g.Output, delta, act)
		floats.Add(g.HiddenB, slope.RawRowView(i))
		g.flat[len(g.flat)-1] += delta
	}
	var toPooled, toMeans mat.Dense
	g.Hidden.Mul(pooled.T(), slope)
	toPooled.Mul(slope, w.Hidden.T())
	g.Value.Mul(means.T(), &toPooled)
	toMeans.Mul(&toPooled, w.Value.T())
	toLooks := mat.NewVecDense(d, nil)
	for i := range texts {
		var by mat.VecDense
		by.MulVec(valid(i), toMeans.RowView(i))
		middle := floats.Dot(attention[i], by.RawVector().Data)
		for t, a := range attention[i] {
			by.SetVec(t, a*(by.AtVec(t)-middle))
		}
		var sum mat.VecDense
		sum.MulVec(valid(i).T(), &by)
		toLooks.AddScaledVec(toLooks, 1/root, &sum)
	}
	mat.NewVecDense(d, g.Query).MulVec(w.Key.T(), toLooks)
	g.Key.Outer(1, toLooks, mat.NewVecDense(d, w.Query))
	return loss
}
