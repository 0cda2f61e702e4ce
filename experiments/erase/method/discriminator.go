package method

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/adam"
	"loupe/vectors"
)

// Discriminator tells embeddings of erased prompts from those of anchors: logit = w2 . relu(W1 x + b1) + b2, positive for erased ones.
type Discriminator struct {
	w      []float64 // W1 [h, d], b1 [h], w2 [h], b2
	d, h   int
	solver *adam.Solver
}

// NewDiscriminator draws W1 and w2 uniformly within 1/sqrt of what they sum over.
func NewDiscriminator(d, hidden int, seed uint64) (*Discriminator, error) {
	if d < 1 || hidden < 1 {
		return nil, fmt.Errorf("method: a discriminator of width %d with %d hidden units: %w", d, hidden, vectors.ErrArgument)
	}
	n := hidden*d + 2*hidden + 1
	c := &Discriminator{w: make([]float64, n), d: d, h: hidden, solver: adam.NewSolver(0, n)}
	rng := rand.New(rand.NewPCG(seed, 0x64697363)) // "disc"
	for i := range hidden * d {
		c.w[i] = (2*rng.Float64() - 1) / math.Sqrt(float64(d))
	}
	for i := range hidden {
		c.w[hidden*d+hidden+i] = (2*rng.Float64() - 1) / math.Sqrt(float64(hidden))
	}
	return c, nil
}

// Logit of an embedding x [d], its gradient with respect to x, and with respect to the weights where weights is not nil: times scale it is
// added to weights.
func (c *Discriminator) logit(x, weights []float64, scale float64) (logit float64, gradient []float64) {
	b1, w2 := c.w[c.h*c.d:c.h*c.d+c.h], c.w[c.h*c.d+c.h:c.h*c.d+2*c.h]
	logit, gradient = c.w[len(c.w)-1], make([]float64, c.d)
	if weights != nil {
		weights[len(weights)-1] += scale
	}
	for i := range c.h {
		row := c.w[i*c.d : (i+1)*c.d]
		a := floats.Dot(row, x) + b1[i]
		if a <= 0 {
			continue
		}
		logit += w2[i] * a
		floats.AddScaled(gradient, w2[i], row)
		if weights != nil {
			floats.AddScaled(weights[i*c.d:(i+1)*c.d], scale*w2[i], x)
			weights[c.h*c.d+i] += scale * w2[i]
			weights[c.h*c.d+c.h+i] += scale * a
		}
	}
	return logit, gradient
}

// Logit of an embedding x [d] and its gradient with respect to x.
func (c *Discriminator) Logit(x []float64) (float64, []float64) { return c.logit(x, nil, 0) }

// Fool is -log(1 - sigmoid(logit)), which an encoder lowers to have x taken for an anchor, and its gradient with respect to x.
func (c *Discriminator) Fool(x []float64) (float64, []float64) {
	logit, g := c.logit(x, nil, 0)
	floats.Scale(sigmoid(logit), g)
	return softplus(logit), g
}

// Loss is the mean binary cross-entropy over embeddings of erased prompts (1) and of anchors (0), both halves weighed alike, with its
// gradient with respect to the weights.
func (c *Discriminator) Loss(erased, anchors *mat.Dense) (loss float64, gradient []float64) {
	gradient = make([]float64, len(c.w))
	for sign, x := range map[float64]*mat.Dense{1: erased, -1: anchors} {
		n, _ := x.Dims()
		for i := range n {
			logit, _ := c.logit(x.RawRowView(i), nil, 0)
			loss += softplus(-sign*logit) / float64(2*n)
			c.logit(x.RawRowView(i), gradient, -sign*sigmoid(-sign*logit)/float64(2*n))
		}
	}
	return loss, gradient
}

// Learn takes a step of Adam on Loss and returns it as it was before.
func (c *Discriminator) Learn(erased, anchors *mat.Dense, rate float64) float64 {
	loss, g := c.Loss(erased, anchors)
	c.solver.Rate = rate
	c.solver.Step(c.w, g)
	return loss
}

// Accuracy is the mean of the shares of both kinds that are told right; a logit of 0 counts half.
func (c *Discriminator) Accuracy(erased, anchors *mat.Dense) float64 {
	out := 0.0
	for sign, x := range map[float64]*mat.Dense{1: erased, -1: anchors} {
		n, _ := x.Dims()
		for i := range n {
			switch logit, _ := c.logit(x.RawRowView(i), nil, 0); {
			case sign*logit > 0:
				out += 1 / float64(2*n)
			case logit == 0:
				out += 0.5 / float64(2*n)
			}
		}
	}
	return out
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1 + e^x).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
