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

// What a concept layer is trained with beside the classes.
const (
	LossL1          = "l1"          // few weights in the layer
	LossGumbel      = "gumbel"      // the published loss on Gumbel-softmax samples of its outputs
	LossContrastive = "contrastive" // each text with the concept that it resembles most
)

// SparseConfig says how a concept layer and its head are trained.
type SparseConfig struct {
	Loss         string  `json:"loss" enum:"l1,gumbel,contrastive" doc:"what the layer is trained with beside the classes"`
	Lambda       float64 `json:"lambda" doc:"weight of that loss against the classes' cross-entropy"`
	Tau          float64 `json:"tau" doc:"gumbel, contrastive: temperature"`
	LearningRate float64 `json:"learning_rate" doc:"of Adam, for the layer and the head"`
	Epochs       int     `json:"epochs" doc:"passes over the texts"`
	Batch        int     `json:"batch" doc:"texts of a step"`
}

// DefaultSparse weighs the three losses as the published code does: as one to one, and 0.001 for L1.
func DefaultSparse(loss string) SparseConfig {
	c := SparseConfig{Loss: loss, Lambda: 1, Tau: 1, LearningRate: 3e-3, Epochs: 30, Batch: 64}
	if loss == LossL1 {
		c.Lambda = 1e-3
	}
	return c
}

// Validate names the field that is out of range.
func (c SparseConfig) Validate() error {
	switch {
	case c.Loss != LossL1 && c.Loss != LossGumbel && c.Loss != LossContrastive:
		return argument("sparse: loss %q is unknown; use %s, %s or %s", c.Loss, LossL1, LossGumbel, LossContrastive)
	case !(c.Lambda >= 0) || math.IsInf(c.Lambda, 0):
		return argument("sparse: lambda is %v; it must be 0 or more", c.Lambda)
	case !(c.Tau > 0):
		return argument("sparse: tau is %v; use 1", c.Tau)
	case !(c.LearningRate > 0):
		return argument("sparse: learning_rate is %v; use 0.003", c.LearningRate)
	case c.Epochs < 1 || c.Batch < 2:
		return argument("sparse: epochs is %d and batch %d; use at least 1 and 2", c.Epochs, c.Batch)
	}
	return nil
}

// Sparse is a bottleneck with a trained concept layer (arXiv:2404.03323): concept activations z = W s of the scores s, and a head
// on them. The layer begins as the identity, so that z_j starts as concept j; nothing in the losses holds it there, and how far
// a trained z_j still follows s_j is to be measured. The head begins as a ridge head on the scores.
type Sparse struct {
	Layer *mat.Dense // W [m, m]
	Head  Head
}

// startPenalty is the L2 penalty of the head that training begins with: weak, so that it uses every concept.
const startPenalty = 0.01

// FitSparse trains a layer and a head on scores [n, m] with labels y among k classes, by Adam on minibatches of
//
//	mean of -log softmax(V W s_i + b)[y_i] + lambda R(W),   R by the configured loss
//
// Equal seeds give equal weights.
func FitSparse(ctx context.Context, scores *mat.Dense, y []int, k int, cfg SparseConfig, seed uint64) (*Sparse, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, m, err := checkMatrix("scores", scores, 0)
	if err != nil {
		return nil, err
	}
	head, err := FitHead(ctx, scores, y, k, nil, HeadConfig{Lambda: startPenalty, Tolerance: 1e-4, Steps: 5000})
	if err != nil {
		return nil, err
	}
	s := &Sparse{Layer: mat.NewDense(m, m, nil), Head: head}
	for j := range m {
		s.Layer.Set(j, j, 1)
	}
	t := &sparseStep{Sparse: s, cfg: cfg, rng: rand.New(rand.NewPCG(seed, 0x737061727365))} // "sparse"
	layer, weights, bias := adam.NewSolver(cfg.LearningRate, m*m), adam.NewSolver(cfg.LearningRate, k*m), adam.NewSolver(cfg.LearningRate, k)
	for range cfg.Epochs {
		order := t.rng.Perm(n)
		for first := 0; first < n; first += cfg.Batch {
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("bottleneck: sparse: %w", err)
			}
			batch := order[first:min(first+cfg.Batch, n)]
			g := t.gradients(take(scores, batch), pick(y, batch))
			weights.Step(s.Head.Weights.RawMatrix().Data, g.head.RawMatrix().Data)
			bias.Step(s.Head.Bias, g.bias)
			layer.Step(s.Layer.RawMatrix().Data, g.layer.RawMatrix().Data)
			if cfg.Loss == LossL1 {
				layer.Shrink(s.Layer.RawMatrix().Data, cfg.Lambda/float64(m))
			}
		}
	}
	if floats.HasNaN(s.Layer.RawMatrix().Data) || floats.HasNaN(s.Head.Weights.RawMatrix().Data) {
		return nil, fmt.Errorf("bottleneck: sparse: weights are not finite: %w; lower learning_rate (%g)", vectors.ErrNotConverged, cfg.LearningRate)
	}
	return s, nil
}

// Concepts returns the activations z [n, m] of scores [n, m].
func (s *Sparse) Concepts(scores *mat.Dense) (*mat.Dense, error) {
	m, _ := s.Layer.Dims()
	n, _, err := checkMatrix("scores", scores, m)
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, m, nil)
	out.Mul(scores, s.Layer.T())
	return out, nil
}

// Logits returns [n, k] for scores [n, m].
func (s *Sparse) Logits(scores *mat.Dense) (*mat.Dense, error) {
	z, err := s.Concepts(scores)
	if err != nil {
		return nil, err
	}
	return s.Head.Logits(z)
}

// sparseStep computes the gradients of one minibatch.
type sparseStep struct {
	*Sparse
	cfg SparseConfig
	rng *rand.Rand
}

// sparseGradients are the objective of a batch, without the L1 norm, and its derivatives.
type sparseGradients struct {
	value       float64
	layer, head *mat.Dense
	bias        []float64
}

func (t *sparseStep) gradients(s *mat.Dense, y []int) sparseGradients {
	b, m := s.Dims()
	k := len(t.Head.Bias)
	z, logits := mat.NewDense(b, m, nil), mat.NewDense(b, k, nil)
	z.Mul(s, t.Layer.T())
	logits.Mul(z, t.Head.Weights.T())
	g := sparseGradients{layer: mat.NewDense(m, m, nil), head: mat.NewDense(k, m, nil), bias: make([]float64, k)}
	for i := range b {
		row := logits.RawRowView(i)
		floats.Add(row, t.Head.Bias)
		g.value += softmaxLoss(row, y[i]) / float64(b)
		floats.Scale(1/float64(b), row)
		floats.Add(g.bias, row)
	}
	g.head.Mul(logits.T(), z)
	down := mat.NewDense(b, m, nil) // of the objective by z
	down.Mul(logits, t.Head.Weights)
	switch t.cfg.Loss {
	case LossGumbel:
		g.value += gumbelLoss(z, down, t.cfg, t.rng)
	case LossContrastive:
		g.value += contrastiveLoss(z, down, ArgMax(s), t.cfg)
	}
	g.layer.Mul(down.T(), s)
	return g
}

// take returns the rows of x that index names.
func take(x *mat.Dense, index []int) *mat.Dense {
	_, d := x.Dims()
	out := mat.NewDense(len(index), d, nil)
	for r, i := range index {
		out.SetRow(r, x.RawRowView(i))
	}
	return out
}

func pick[T any](x []T, index []int) []T {
	out := make([]T, len(index))
	for r, i := range index {
		out[r] = x[i]
	}
	return out
}
