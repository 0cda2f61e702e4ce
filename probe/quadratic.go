package probe

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// QuadraticConfig says how a probe of products is fitted.
type QuadraticConfig struct {
	Components int `json:"components" doc:"principal components whose squares and products are features; at most the number of dimensions and rows"`
}

// Validate names the field that is out of range.
func (c QuadraticConfig) Validate() error {
	if c.Components < 1 || c.Components > 256 {
		return fmt.Errorf("probe: quadratic: components is %d: %w; it is 1 to 256", c.Components, vectors.ErrArgument)
	}
	return nil
}

// Quadratic is a probe of r principal coordinates z = P (x - mean), scaled to unit variance, and their products z_i z_j,
// i <= j. It reads what a linear probe cannot: a concept in the spread of activations, which linear erasure leaves.
type Quadratic struct {
	Mean       []float64 // [d]
	Components []float64 // [r, d]
	Linear               // of the r + r(r+1)/2 features
}

// FitQuadratic fits the principal coordinates to the rows and a logistic or softmax probe of their products to each
// target.
func FitQuadratic(ctx context.Context, x Rows, targets []Target, cfg QuadraticConfig, logistic LogisticConfig) ([]*Quadratic, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := x.check("x"); err != nil {
		return nil, err
	}
	const enough = 4096 // rows for the components
	sample := make([]int, min(x.N, enough))
	for i := range sample {
		sample[i] = i * x.N / len(sample)
	}
	r := min(cfg.Components, x.D, len(sample)-1)
	if r < 1 {
		return nil, fmt.Errorf("probe: quadratic: principal components of one row: %w; give more", vectors.ErrArgument)
	}
	pca, err := vectors.FitPCA(x.Take(sample).Dense(), r, vectors.Centred)
	if err != nil {
		return nil, fmt.Errorf("probe: quadratic: %w", err)
	}
	q := Quadratic{Mean: pca.Centre}
	for i, v := range pca.Variance {
		if v <= pca.Variance[0]*1e-9 {
			break
		}
		for _, c := range pca.Components.RawRowView(i) {
			q.Components = append(q.Components, c/math.Sqrt(v))
		}
	}
	f := q.features(x)
	out := make([]*Quadratic, len(targets))
	for i, t := range targets {
		fit := Logistic
		if t.Task == Multiclass {
			fit = Multinomial
		}
		l, err := fit(ctx, f, []Target{t}, logistic)
		if err != nil {
			return nil, err
		}
		own := q
		own.Linear = l[0]
		out[i] = &own
	}
	return out, nil
}

// features returns [n, r + r(r+1)/2].
func (q *Quadratic) features(x Rows) Rows {
	d := len(q.Mean)
	r := len(q.Components) / d
	c := x.Dense()
	for i := range x.N {
		row := c.RawRowView(i)
		for j, m := range q.Mean {
			row[j] -= m
		}
	}
	var z mat.Dense
	z.Mul(c, mat.NewDense(r, d, q.Components).T())
	out := Rows{N: x.N, D: r + r*(r+1)/2}
	for i := range x.N {
		row := z.RawRowView(i)
		out.Values = appendFloat32(out.Values, row)
		for a, v := range row {
			for _, w := range row[a:] {
				out.Values = append(out.Values, float32(v*w))
			}
		}
	}
	return out
}

// Scores returns [n, outputs] for rows x [n, d].
func (q *Quadratic) Scores(x Rows) ([]float64, error) {
	if x.D != len(q.Mean) {
		return nil, fmt.Errorf("probe: activations of width %d for a probe of width %d: %w; is it of another model or site?", x.D, len(q.Mean), vectors.ErrShape)
	}
	return q.Linear.Scores(q.features(x))
}
