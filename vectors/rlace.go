package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// RLACEConfig says how R-LACE searches.
type RLACEConfig struct {
	Rank   int     `json:"rank" yaml:"rank" doc:"directions to remove"`
	C      float64 `json:"c" yaml:"c" doc:"weight of the classifier's loss against its penalty"`
	Rounds int     `json:"rounds" yaml:"rounds" doc:"steps of the adversary at most"`
	// Tolerance ends the search when ten steps raise the classifier's loss by less than this share of the loss of a constant.
	Tolerance float64 `json:"tolerance" yaml:"tolerance" doc:"least gain in ten steps, as a share of a constant's loss"`
}

// DefaultRLACE removes one direction.
func DefaultRLACE() RLACEConfig { return RLACEConfig{Rank: 1, C: 1, Rounds: 300, Tolerance: 1e-6} }

// Validate names the field that is out of range.
func (c RLACEConfig) Validate() error {
	switch {
	case c.Rank < 1 || c.Rounds < 1:
		return fmt.Errorf("vectors: R-LACE: rank is %d and rounds %d: %w; they are 1 or more", c.Rank, c.Rounds, ErrArgument)
	case !(c.Tolerance > 0 && c.Tolerance < 1):
		return fmt.Errorf("vectors: R-LACE: tolerance is %v: %w; it lies between 0 and 1", c.Tolerance, ErrArgument)
	}
	return checkPenalty("R-LACE", c.C)
}

// RLACEFit is the outcome of R-LACE.
type RLACEFit struct {
	*Eraser
	// Losses are the best classifier's losses on x (I - P) as P moved, ascending, from the centre of the Fantope on.
	Losses   []float64
	Loss     float64 // of the best classifier after the projection that is returned
	Constant float64 // of the best constant: with Loss equal to it nothing linear is left
	Accuracy float64 // of that classifier, on the fitted rows
}

// RLACE is relaxed linear adversarial concept erasure (arXiv:2201.12091): the orthogonal projection of a given rank after
// which the best linear classifier of y in x [n, d] does worst,
//
//	max over P in the Fantope of min over W, b of 0.5 |W|² + C sum_i loss(W (I - P) x_i + b, y_i)
//
// ends in the projection away from P's leading eigenvectors. The paper descends and ascends by turns with stochastic
// gradients; here the inner minimum is exact, so that its gradient -C sym(X' (p - y) W) is that of the whole (Danskin). The
// problem is not concave: the result is a local optimum. A step costs a classifier fit and an eigendecomposition. For no
// linear trace at all LEACE and MeanProjection have closed forms, of rank k-1; R-LACE is for a rank below that, or for
// comparison.
func RLACE(ctx context.Context, x *mat.Dense, y []int, cfg RLACEConfig) (*RLACEFit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, d, counts, err := checkClasses(x, y, 0, 1)
	if err != nil {
		return nil, err
	}
	if cfg.Rank >= d {
		return nil, fmt.Errorf("vectors: R-LACE of rank %d in %d dimensions: %w; keep one", cfg.Rank, d, ErrArgument)
	}
	g := adversary{ctx: ctx, x: x, y: y, k: len(counts), c: cfg.C}
	fit := &RLACEFit{Loss: math.Inf(-1)}
	for _, m := range counts {
		fit.Constant -= cfg.C * float64(m) * math.Log(float64(m)/float64(n))
	}
	if err := fit.ascend(g, cfg, d); err != nil {
		return nil, err
	}
	return fit, nil
}

// patience is how many steps the search goes on without a gain.
const patience = 10

// ascend is the spectral projected gradient method (Birgin, Martínez and Raydan, SIAM Journal on Optimization 10, 2000): steps
// of the length that the last two gradients suggest, projected, and shortened until the loss rises. The projection that P
// rounds to is tried after every step.
func (f *RLACEFit) ascend(g adversary, cfg RLACEConfig, d int) error {
	p := mat.NewSymDense(d, nil)
	addDiagonal(p, float64(cfg.Rank)/float64(d))
	value, gradient, err := g.at(p)
	if err != nil {
		return err
	}
	f.Losses = append(f.Losses, value)
	best, since := value, 0 // the value when the last gain counted, and steps after it
	length := 1.0
	if norm := mat.Norm(gradient, 2); norm > 0 {
		length = math.Sqrt(float64(cfg.Rank)) / norm
	}
	for since < patience && len(f.Losses) <= cfg.Rounds {
		end, top, err := fantope(plusSym(p, length, gradient), cfg.Rank)
		if err != nil {
			return err
		}
		if err := f.try(g, top); err != nil {
			return err
		}
		along := plusSym(end, -1, p)
		slope := innerSym(gradient, along)
		if slope <= 0 {
			return nil // P is a stationary point, up to rounding
		}
		t := 1.0
		next, nextValue, nextGradient := end, 0.0, (*mat.SymDense)(nil)
		for ; t > 1e-6; t /= 2 {
			if t < 1 {
				next = plusSym(p, t, along)
			}
			if nextValue, nextGradient, err = g.at(next); err != nil {
				return err
			}
			if nextValue >= value+1e-4*t*slope {
				break
			}
		}
		if t <= 1e-6 {
			return nil
		}
		step, turn := plusSym(next, -1, p), plusSym(nextGradient, -1, gradient)
		if curve := -innerSym(step, turn); curve > 0 {
			length = innerSym(step, step) / curve
		} else {
			length *= 4
		}
		p, value, gradient = next, nextValue, nextGradient
		f.Losses = append(f.Losses, value)
		since++
		if value > best+cfg.Tolerance*f.Constant {
			best, since = value, 0
		}
	}
	return nil
}

// plusSym is a + t b.
func plusSym(a *mat.SymDense, t float64, b *mat.SymDense) *mat.SymDense {
	out := mat.NewSymDense(a.SymmetricDim(), nil)
	out.ScaleSym(t, b)
	out.AddSym(out, a)
	return out
}

// innerSym is the sum of the products of all entries.
func innerSym(a, b *mat.SymDense) float64 {
	d, sum := a.SymmetricDim(), 0.0
	for i := range d {
		sum += a.At(i, i) * b.At(i, i)
		for j := i + 1; j < d; j++ {
			sum += 2 * a.At(i, j) * b.At(i, j)
		}
	}
	return sum
}

// try keeps the projection away from the rows of q if the best classifier does worse than after the one kept so far.
func (f *RLACEFit) try(g adversary, q *mat.Dense) error {
	eraser := projection(q, make([]float64, len(q.RawRowView(0))))
	rows, err := eraser.Apply(g.x)
	if err != nil {
		return err
	}
	loss, _, accuracy, err := g.best(rows)
	if err == nil && loss > f.Loss {
		f.Eraser, f.Loss, f.Accuracy = eraser, loss, accuracy
	}
	return err
}

// adversary is R-LACE's objective.
type adversary struct {
	ctx context.Context
	x   *mat.Dense
	y   []int
	k   int
	c   float64
}

// at returns the best classifier's objective on x (I - P) and its gradient with respect to the symmetric P.
func (g adversary) at(p *mat.SymDense) (float64, *mat.SymDense, error) {
	rows := product(g.x, p)
	rows.Sub(g.x, rows)
	value, weights, _, err := g.best(rows)
	if err != nil {
		return 0, nil, err
	}
	back := product(g.x.T(), weights.residual)
	return value, symmetrised(scaled(-g.c, product(back, weights.rows))), nil
}

// classifier are the weights [k, d] of a fit (one row for two classes) and its residuals p - y [n, k] on its rows.
type classifier struct{ rows, residual *mat.Dense }

// best fits the classifier of least penalised loss on rows.
func (g adversary) best(rows *mat.Dense) (value float64, w classifier, accuracy float64, err error) {
	n, d := rows.Dims()
	if g.k == 2 {
		fit, err := Logistic(g.ctx, rows, g.y, g.c)
		if err != nil {
			return 0, w, 0, fmt.Errorf("R-LACE: %w", err)
		}
		scores, err := fit.Scores(rows)
		if err != nil {
			return 0, w, 0, err
		}
		w = classifier{mat.NewDense(1, d, fit.Weights), mat.NewDense(n, 1, nil)}
		for i, s := range scores {
			w.residual.Set(i, 0, 1/(1+math.Exp(-s))-float64(g.y[i]))
		}
		accuracy, err = fit.Accuracy(rows, g.y)
		return fit.Objective, w, accuracy, err
	}
	fit, err := Multinomial(g.ctx, rows, g.y, g.c)
	if err != nil {
		return 0, w, 0, fmt.Errorf("R-LACE: %w", err)
	}
	residual, err := fit.Probabilities(rows)
	if err != nil {
		return 0, w, 0, err
	}
	for i, c := range g.y {
		residual.Set(i, c, residual.At(i, c)-1)
	}
	accuracy, err = fit.Accuracy(rows, g.y)
	return fit.Objective, classifier{fit.Weights, residual}, accuracy, err
}
