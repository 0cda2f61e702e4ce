package bottleneck

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

// GateConfig says how a gated head is trained.
type GateConfig struct {
	Lambda       float64 `json:"lambda" doc:"price of an open gate against the mean cross-entropy"`
	Tau          float64 `json:"tau" doc:"temperature of the gates"`
	LearningRate float64 `json:"learning_rate" doc:"of Adam, for weights and gates"`
	Epochs       int     `json:"epochs" doc:"passes over the texts"`
	Batch        int     `json:"batch" doc:"texts of a step"`
}

// DefaultGates has the temperature of Louizos et al.
func DefaultGates() GateConfig {
	return GateConfig{Lambda: 2e-3, Tau: 2. / 3, LearningRate: 2e-2, Epochs: 60, Batch: 64}
}

// Validate names the field that is out of range.
func (c GateConfig) Validate() error {
	switch {
	case !(c.Lambda >= 0) || math.IsInf(c.Lambda, 0):
		return argument("gates: lambda is %v; it must be 0 or more", c.Lambda)
	case !(c.Tau > 0):
		return argument("gates: tau is %v; use 2/3", c.Tau)
	case !(c.LearningRate > 0):
		return argument("gates: learning_rate is %v; use 0.02", c.LearningRate)
	case c.Epochs < 1 || c.Batch < 1:
		return argument("gates: epochs is %d and batch %d; use at least 1", c.Epochs, c.Batch)
	}
	return nil
}

// The stretch of the hard concrete distribution: gates reach 0 and 1 exactly.
const (
	gateLow  = -0.1
	gateHigh = 1.1
)

// FitGates trains a head in which every weight of a class has a gate, on scores [n, m] with labels y among k classes:
//
//	logits_c = sum_j g_cj V_cj s_j + b_c,   g = min(1, max(0, sigmoid((log u - log(1-u) + a) / tau) (1.1 + 0.1) - 0.1))
//
// with u uniform, which is a Gumbel-softmax sample of open and closed, stretched so that gates close exactly (hard concrete,
// arXiv:1712.01312). Adam lowers the mean cross-entropy plus lambda times the expected number of open gates,
// P(g > 0) = sigmoid(a - tau log(0.1/1.1)), along the sampled gates' own gradients. The head that is returned has each weight
// times its gate without noise, so that closed gates are weights of exactly 0. Equal seeds give equal heads.
func FitGates(ctx context.Context, scores *mat.Dense, y []int, k int, cfg GateConfig, seed uint64) (Head, error) {
	if err := cfg.Validate(); err != nil {
		return Head{}, err
	}
	n, m, err := checkMatrix("scores", scores, 0)
	if err != nil {
		return Head{}, err
	}
	if err := checkLabels(n, y, k); err != nil {
		return Head{}, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x6761746573)) // "gates"
	g := newGated(k, m, cfg)
	weights, gates, bias := adam.NewSolver(cfg.LearningRate, k*m), adam.NewSolver(cfg.LearningRate, k*m), adam.NewSolver(cfg.LearningRate, k)
	noise := make([]float64, k*m)
	for range cfg.Epochs {
		order := rng.Perm(n)
		for first := 0; first < n; first += cfg.Batch {
			if err := ctx.Err(); err != nil {
				return Head{}, fmt.Errorf("bottleneck: gates: %w", err)
			}
			for i := range noise {
				noise[i] = gumbel(rng) - gumbel(rng) // logistic
			}
			batch := order[first:min(first+cfg.Batch, n)]
			g.gradients(take(scores, batch), pick(y, batch), noise)
			weights.Step(g.weights.RawMatrix().Data, g.byWeight.RawMatrix().Data)
			gates.Step(g.logAlpha, g.byAlpha)
			bias.Step(g.bias, g.byBias)
		}
	}
	out := Head{Weights: mat.NewDense(k, m, nil), Bias: g.bias}
	for i, a := range g.logAlpha {
		gate, _ := hardConcrete(a, 1)
		out.Weights.RawMatrix().Data[i] = gate * g.weights.RawMatrix().Data[i]
	}
	if floats.HasNaN(out.Weights.RawMatrix().Data) {
		return Head{}, fmt.Errorf("bottleneck: gates: weights are not finite: %w; lower learning_rate (%g)", vectors.ErrNotConverged, cfg.LearningRate)
	}
	return out, nil
}

// gated is the state of the training and the gradients of its last batch.
type gated struct {
	cfg      GateConfig
	weights  *mat.Dense // V [k, m]
	logAlpha []float64  // a [k*m]
	bias     []float64  // [k]

	byWeight *mat.Dense
	byAlpha  []float64
	byBias   []float64
}

// newGated begins with weights of 0 and gates that are mostly open.
func newGated(k, m int, cfg GateConfig) *gated {
	g := &gated{cfg: cfg, weights: mat.NewDense(k, m, nil), logAlpha: make([]float64, k*m), bias: make([]float64, k)}
	g.byWeight, g.byAlpha, g.byBias = mat.NewDense(k, m, nil), make([]float64, k*m), make([]float64, k)
	for i := range g.logAlpha {
		g.logAlpha[i] = 2
	}
	return g
}

// gradients fills in the derivatives on a batch with given logistic noise, and returns the objective.
func (g *gated) gradients(s *mat.Dense, y []int, noise []float64) float64 {
	b, m := s.Dims()
	k := len(g.bias)
	effective, slope := mat.NewDense(k, m, nil), make([]float64, k*m)
	v := g.weights.RawMatrix().Data
	for i, a := range g.logAlpha {
		gate, d := hardConcrete((a+noise[i])/g.cfg.Tau, 1/g.cfg.Tau)
		effective.RawMatrix().Data[i], slope[i] = gate*v[i], d*v[i]
		g.byAlpha[i] = gate // for the weight's derivative below
	}
	logits := mat.NewDense(b, k, nil)
	logits.Mul(s, effective.T())
	value := 0.0
	clear(g.byBias)
	for i := range b {
		row := logits.RawRowView(i)
		floats.Add(row, g.bias)
		value += softmaxLoss(row, y[i]) / float64(b)
		floats.Scale(1/float64(b), row)
		floats.Add(g.byBias, row)
	}
	g.byWeight.Mul(logits.T(), s) // by the effective weights
	threshold := g.cfg.Tau * math.Log(-gateLow/gateHigh)
	for i, d := range g.byWeight.RawMatrix().Data {
		open := sigmoid(g.logAlpha[i] - threshold)
		value += g.cfg.Lambda * open
		g.byWeight.RawMatrix().Data[i] = d * g.byAlpha[i]
		g.byAlpha[i] = d*slope[i] + g.cfg.Lambda*open*(1-open)
	}
	return value
}

// hardConcrete returns the gate of a logit and its derivative by what the logit is scale times of.
func hardConcrete(logit, scale float64) (gate, slope float64) {
	p := sigmoid(logit)
	stretched := p*(gateHigh-gateLow) + gateLow
	if stretched <= 0 || stretched >= 1 {
		return min(1, max(0, stretched)), 0
	}
	return stretched, scale * p * (1 - p) * (gateHigh - gateLow)
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
