package custom

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

// HeadsConfig says how heads are trained.
type HeadsConfig struct {
	Width       int     `json:"width" doc:"outputs of a head"`
	Steps       int     `json:"steps" doc:"steps of Adam"`
	Batch       int     `json:"batch" doc:"texts of a step"`
	LR          float64 `json:"learning_rate" doc:"of Adam"`
	Temperature float64 `json:"temperature" doc:"of the contrastive loss"`
	Orthogonal  float64 `json:"orthogonal" doc:"weight of |cos| between the heads' outputs; 0: without"`
}

// DefaultHeads are small heads for a few hundred texts. OmniPrism's settings are for a Q-Former on images.
func DefaultHeads() HeadsConfig {
	return HeadsConfig{Width: 64, Steps: 300, Batch: 128, LR: 1e-3, Temperature: 0.1, Orthogonal: 1}
}

// Validate names the settings that are out of range.
func (c HeadsConfig) Validate() error {
	switch {
	case c.Width < 1 || c.Steps < 1 || c.Batch < 4:
		return fmt.Errorf("custom: width %d, steps %d, batch %d: %w; use 1, 1 and 4 or more", c.Width, c.Steps, c.Batch, vectors.ErrArgument)
	case !(c.LR > 0) || math.IsInf(c.LR, 0) || !(c.Temperature > 0) || !(c.Orthogonal >= 0) || math.IsInf(c.Orthogonal, 0):
		return fmt.Errorf("custom: learning_rate %v, temperature %v, orthogonal %v: %w; use a positive rate and temperature and a weight from 0", c.LR, c.Temperature, c.Orthogonal, vectors.ErrArgument)
	}
	return nil
}

// Heads read one aspect each, such as content and style, from embeddings: z_a = W_a (x - mean).
type Heads struct {
	Mean    []float64    // [d], of the embeddings that they were fitted on
	Weights []*mat.Dense // W_a [h, d], one an aspect
	Loss    []float64    // by step
}

// Apply returns the outputs [n, h] of head a for embeddings x [n, d].
func (h *Heads) Apply(a int, x *mat.Dense) (*mat.Dense, error) {
	if a < 0 || a >= len(h.Weights) {
		return nil, fmt.Errorf("custom: head %d of %d: %w", a, len(h.Weights), vectors.ErrArgument)
	}
	if _, _, err := checkMatrix("embeddings", x, len(h.Mean)); err != nil {
		return nil, err
	}
	var out mat.Dense
	out.Mul(minus(x, h.Mean), h.Weights[a].T())
	return &out, nil
}

// minus returns x less mean in every row.
func minus(x *mat.Dense, mean []float64) *mat.Dense {
	out := mat.DenseCopyOf(x)
	n, _ := out.Dims()
	for i := range n {
		floats.Sub(out.RawRowView(i), mean)
	}
	return out
}

// AspectLoss is the loss of heads' outputs z[a] [n, h] for labels[a] [n], and its gradients with respect to them: SupCon within each
// aspect, and between aspects the mean of |cos| over texts and pairs of heads times orthogonal,
//
//	sum_a SupCon(z_a, label_a) + orthogonal mean_i sum_{a<b} |cos(z_ai, z_bi)|
//
// (Li et al., arXiv:2412.12242: contrastive orthogonal disentangling, with text embeddings in place of image features). At a cosine
// of 0 the gradient of |cos| is taken as 0.
func AspectLoss(z []*mat.Dense, labels [][]int, temperature, orthogonal float64) (loss float64, gradients []*mat.Dense, err error) {
	if len(z) < 2 || len(labels) != len(z) {
		return 0, nil, fmt.Errorf("custom: %d aspects with labels of %d: %w; give two or more", len(z), len(labels), vectors.ErrShape)
	}
	n, h, err := checkMatrix("aspect 0", z[0], 0)
	if err != nil {
		return 0, nil, err
	}
	units, norms := make([]*mat.Dense, len(z)), make([][]float64, len(z))
	for a := range z {
		rows, width, err := checkMatrix(fmt.Sprintf("aspect %d", a), z[a], 0)
		if err != nil {
			return 0, nil, err
		}
		if rows != n || width != h {
			return 0, nil, fmt.Errorf("custom: aspect %d is [%d, %d] and aspect 0 [%d, %d]: %w", a, rows, width, n, h, vectors.ErrShape)
		}
		l, g, err := SupCon(z[a], labels[a], temperature)
		if err != nil {
			return 0, nil, fmt.Errorf("aspect %d: %w", a, err)
		}
		loss, gradients = loss+l, append(gradients, g)
		units[a], norms[a] = unitRows(z[a])
	}
	if orthogonal == 0 {
		return loss, gradients, nil
	}
	scale := orthogonal / float64(n)
	for a := range z {
		back := mat.NewDense(n, h, nil) // of the unit rows
		for b := range z {
			if b == a {
				continue
			}
			for i := range n {
				c := floats.Dot(units[a].RawRowView(i), units[b].RawRowView(i))
				if b > a {
					loss += scale * math.Abs(c)
				}
				if c != 0 {
					floats.AddScaled(back.RawRowView(i), math.Copysign(scale, c), units[b].RawRowView(i))
				}
			}
		}
		throughUnit(back, units[a], norms[a])
		gradients[a].Add(gradients[a], back)
	}
	return loss, gradients, nil
}

// FitHeads trains a head for each aspect on embeddings x [n, d] with labels[a] [n], by Adam on AspectLoss over batches that are
// drawn by seed.
func FitHeads(ctx context.Context, x *mat.Dense, labels [][]int, cfg HeadsConfig, seed uint64) (*Heads, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, d, err := checkMatrix("embeddings", x, 0)
	if err != nil {
		return nil, err
	}
	if len(labels) < 2 {
		return nil, fmt.Errorf("custom: labels of %d aspects: %w; give two or more", len(labels), vectors.ErrClasses)
	}
	for a, l := range labels {
		if len(l) != n {
			return nil, fmt.Errorf("custom: aspect %d has %d labels for %d embeddings: %w", a, len(l), n, vectors.ErrShape)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0x68656164)) // "head"
	out := &Heads{Mean: make([]float64, d)}
	for i := range n {
		floats.AddScaled(out.Mean, 1/float64(n), x.RawRowView(i))
	}
	centred := minus(x, out.Mean)
	var solvers []*adam.Solver
	for range labels {
		w := mat.NewDense(cfg.Width, d, nil)
		for i := range w.RawMatrix().Data {
			w.RawMatrix().Data[i] = rng.NormFloat64() / math.Sqrt(float64(d))
		}
		out.Weights, solvers = append(out.Weights, w), append(solvers, adam.NewSolver(cfg.LR, cfg.Width*d))
	}
	batch := min(cfg.Batch, n)
	rows := mat.NewDense(batch, d, nil)
	z, of := make([]*mat.Dense, len(labels)), make([][]int, len(labels))
	for step := range cfg.Steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		draw := rng.Perm(n)[:batch]
		for i, r := range draw {
			rows.SetRow(i, centred.RawRowView(r))
		}
		for a, l := range labels {
			of[a] = of[a][:0]
			for _, r := range draw {
				of[a] = append(of[a], l[r])
			}
			z[a] = mat.NewDense(batch, cfg.Width, nil)
			z[a].Mul(rows, out.Weights[a].T())
		}
		loss, gradients, err := AspectLoss(z, of, cfg.Temperature, cfg.Orthogonal)
		if err != nil {
			return nil, fmt.Errorf("custom: step %d: %w", step+1, err)
		}
		out.Loss = append(out.Loss, loss)
		for a, g := range gradients {
			var w mat.Dense
			w.Mul(g.T(), rows)
			solvers[a].Step(out.Weights[a].RawMatrix().Data, w.RawMatrix().Data)
		}
	}
	return out, nil
}
