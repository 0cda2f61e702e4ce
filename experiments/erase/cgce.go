package erase

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Classifier tells a concept from all tokens of a text: one query attends to them, then an MLP,
//
//	a = softmax(e W_K query / sqrt d),   p = sum_t a_t e_t W_V,   logit = w2 . gelu(p W1 + b1) + b2
//
// with the exact (erf) GELU.
type Classifier struct {
	Query   []float64  // [d]
	Key     *mat.Dense // W_K [d, d]
	Value   *mat.Dense // W_V [d, d]
	Hidden  *mat.Dense // W1 [d, h]
	HiddenB []float64  // b1 [h]
	Output  []float64  // w2 [h]
	OutputB float64    // b2
}

// Logit of embeddings e [T, d] and its gradient with respect to them [T, d].
func (c *Classifier) Logit(e *mat.Dense) (float64, *mat.Dense, error) {
	d, h := len(c.Query), len(c.HiddenB)
	tokens, _, err := checkRows("embeddings", e, d)
	if err != nil {
		return 0, nil, err
	}
	for _, s := range []struct {
		what  string
		m     *mat.Dense
		width int
	}{{"W_K", c.Key, d}, {"W_V", c.Value, d}, {"W1", c.Hidden, h}} {
		n, _, err := checkRows("classifier's "+s.what, s.m, s.width)
		if err != nil {
			return 0, nil, err
		}
		if n != d {
			return 0, nil, fmt.Errorf("erase: classifier's %s has %d rows for embeddings of width %d: %w", s.what, n, d, vectors.ErrShape)
		}
	}
	if len(c.Output) != h {
		return 0, nil, fmt.Errorf("erase: classifier of %d hidden units has %d output weights: %w", h, len(c.Output), vectors.ErrShape)
	}
	var looks, scores, pooled, before mat.VecDense
	looks.MulVec(c.Key, mat.NewVecDense(d, c.Query)) // score of a token: e_t . looks / sqrt d
	looks.ScaleVec(1/math.Sqrt(float64(d)), &looks)
	scores.MulVec(e, &looks)
	a := scores.RawVector().Data
	softmax(a, 1)
	var mean mat.VecDense // sum_t a_t e_t
	mean.MulVec(e.T(), &scores)
	pooled.MulVec(c.Value.T(), &mean)
	before.MulVec(c.Hidden.T(), &pooled)
	logit, slope := c.OutputB, make([]float64, h)
	for j, w := range c.Output {
		x := before.AtVec(j) + c.HiddenB[j]
		cdf := 0.5 * math.Erfc(-x/math.Sqrt2)
		logit += w * x * cdf
		slope[j] = w * (cdf + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi))
	}
	var toPooled, toMean mat.VecDense
	toPooled.MulVec(c.Hidden, mat.NewVecDense(h, slope))
	toMean.MulVec(c.Value, &toPooled)
	middle := mat.Dot(&mean, &toMean)
	gradient := mat.NewDense(tokens, d, nil)
	for t := range tokens {
		row := gradient.RawRowView(t)
		floats.AddScaled(row, a[t], toMean.RawVector().Data)
		floats.AddScaled(row, a[t]*(floats.Dot(e.RawRowView(t), toMean.RawVector().Data)-middle), looks.RawVector().Data)
	}
	return logit, gradient, nil
}

// Loss is -log(1 - p), p = sigmoid(logit), with its gradient with respect to e [T, d].
func (c *Classifier) Loss(e *mat.Dense) (loss float64, gradient *mat.Dense, err error) {
	logit, gradient, err := c.Logit(e)
	if err != nil {
		return 0, nil, err
	}
	gradient.Scale(sigmoid(logit), gradient)
	return max(logit, 0) + math.Log1p(math.Exp(-math.Abs(logit))), gradient, nil
}

// CGCEConfig are the settings of Refine; the paper's values are not published.
type CGCEConfig struct {
	Threshold float64 `json:"threshold" doc:"probability above which a text is refined"`
	Until     float64 `json:"until" doc:"probability up to which a text that is refined counts as safe; 0: the threshold"`
	Step      float64 `json:"step" doc:"length of a step, or its factor where the gradient is not normalised"`
	MaxSteps  int     `json:"max_steps" doc:"steps after which a text is given up"`
	Normalise bool    `json:"normalise" doc:"divide the gradient by its Frobenius norm"`
}

// DefaultCGCE refines what is more likely than not to hold the concept.
func DefaultCGCE() CGCEConfig {
	return CGCEConfig{Threshold: 0.5, Step: 0.5, MaxSteps: 50, Normalise: true}
}

// Validate fails on a setting out of its range.
func (c CGCEConfig) Validate() error {
	if !(c.Threshold > 0 && c.Threshold < 1) || !(c.Until >= 0 && c.Until <= c.Threshold) || !(c.Step > 0) || math.IsInf(c.Step, 0) || c.MaxSteps < 1 {
		return fmt.Errorf("erase: threshold %v, until %v, step %v, max_steps %d: %w; they need 0..1, 0..threshold, above 0, from 1", c.Threshold, c.Until, c.Step, c.MaxSteps, vectors.ErrArgument)
	}
	return nil
}

// Refinement is a text after classifier-guided steps.
type Refinement struct {
	X     *mat.Dense // [T, d]; the very matrix that was given where no classifier fired
	Steps int
	P     []float64 // largest probability of a concept before each step and after the last [Steps+1]
	Safe  bool      // no probability is above the threshold or, once the text is refined, above Until
}

// Refine moves embeddings e [T, d] down the gradient of -log(1 - p) until no classifier's p is above the threshold, or Until, or MaxSteps
// are over (CGCE). The gradients of the classifiers that fire are added.
func Refine(classifiers []*Classifier, e *mat.Dense, cfg CGCEConfig) (*Refinement, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(classifiers) == 0 {
		return nil, fmt.Errorf("erase: no classifier: %w", vectors.ErrShape)
	}
	out := &Refinement{X: e}
	for {
		var sum *mat.Dense
		top, limit := 0.0, cfg.Threshold
		if out.Steps > 0 && cfg.Until > 0 {
			limit = cfg.Until
		}
		for i, c := range classifiers {
			logit, g, err := c.Logit(out.X)
			if err != nil {
				return nil, fmt.Errorf("classifier %d, step %d: %w", i, out.Steps, err)
			}
			p := sigmoid(logit)
			top = max(top, p)
			if p <= limit {
				continue
			}
			g.Scale(p, g)
			if sum == nil {
				sum = g
			} else {
				sum.Add(sum, g)
			}
		}
		out.P = append(out.P, top)
		out.Safe = sum == nil
		if out.Safe || out.Steps == cfg.MaxSteps {
			return out, nil
		}
		scale := cfg.Step
		if cfg.Normalise {
			norm := mat.Norm(sum, 2)
			if norm == 0 {
				return out, nil // a flat place: no step leads on
			}
			scale /= norm
		}
		var next mat.Dense
		next.Scale(-scale, sum)
		next.Add(&next, out.X)
		out.X = &next
		out.Steps++
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
