package probe

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// LDAConfig says how the covariance within classes is regularised.
type LDAConfig struct {
	Shrinkage string  `json:"shrinkage" enum:"none,optimal,fixed" doc:"covariance within classes: as it is, with the optimal linear shrinkage (arXiv:1308.2608), or with the share below"`
	Share     float64 `json:"share" doc:"shrinkage fixed: weight of the multiple of the identity, from 0 to 1"`
}

// DefaultLDA shrinks, so that rows may be fewer than dimensions.
func DefaultLDA() LDAConfig { return LDAConfig{Shrinkage: "optimal", Share: 0.1} }

// Validate names the field that is out of range.
func (c LDAConfig) Validate() error {
	switch c.Shrinkage {
	case "none", "optimal":
		return nil
	case "fixed":
		if c.Share >= 0 && c.Share <= 1 {
			return nil
		}
		return fmt.Errorf("probe: LDA: share is %v: %w; it is from 0 to 1", c.Share, vectors.ErrArgument)
	}
	return fmt.Errorf("probe: LDA: shrinkage is %q: %w; use none, optimal or fixed", c.Shrinkage, vectors.ErrArgument)
}

// LDA is linear discriminant analysis of two or more classes: with S the covariance within classes over n, m_c the mean
// and p_c the share of class c, class c has the score
//
//	m_c' S^-1 x - m_c' S^-1 m_c / 2 + log p_c
//
// A binary probe has the difference of its two scores, which is vectors.LDA.
func LDA(x Rows, t Target, cfg LDAConfig) (Linear, error) {
	if err := cfg.Validate(); err != nil {
		return Linear{}, err
	}
	rows, err := classRows(x, t, 2)
	if err != nil {
		return Linear{}, fmt.Errorf("probe: LDA: %w", err)
	}
	part := t.Take(rows)
	within, means, counts, err := vectors.WithinScatter(x.Take(rows).Dense(), part.Class)
	if err != nil {
		return Linear{}, fmt.Errorf("probe: LDA of %s: %w", t.Name, err)
	}
	cov, err := cfg.covariance(within)
	if err != nil {
		return Linear{}, fmt.Errorf("probe: LDA of %s: %w", t.Name, err)
	}
	k, d := means.Dims()
	var chol mat.Cholesky
	if !chol.Factorize(cov) || chol.Cond() > 1e14 {
		return Linear{}, fmt.Errorf("probe: LDA of %s: covariance within classes of %d rows of width %d: %w; set shrinkage, or give more rows",
			t.Name, len(rows), d, vectors.ErrSingular)
	}
	var w mat.Dense // [d, k]
	if err := chol.SolveTo(&w, means.T()); err != nil {
		return Linear{}, fmt.Errorf("probe: LDA of %s: %w: %w", t.Name, vectors.ErrSingular, err)
	}
	l := Linear{D: d, Weights: make([]float64, k*d), Bias: make([]float64, k)}
	for c := range k {
		direction := l.Weights[c*d : (c+1)*d]
		mat.Col(direction, c, &w)
		l.Bias[c] = math.Log(float64(counts[c])/float64(len(rows))) - floats.Dot(direction, means.RawRowView(c))/2
	}
	if t.Task == Binary {
		l = difference(l)
	}
	return l, nil
}

// covariance is the regularised covariance over n.
func (c LDAConfig) covariance(s *vectors.Scatter) (*mat.SymDense, error) {
	if c.Shrinkage == "optimal" {
		return s.Shrunk()
	}
	out := mat.NewSymDense(len(s.Mean), nil)
	out.ScaleSym(1/float64(s.Count), s.Sum)
	if c.Shrinkage == "fixed" {
		level := mat.Trace(out) / float64(len(s.Mean))
		out.ScaleSym(1-c.Share, out)
		for i := range s.Mean {
			out.SetSym(i, i, out.At(i, i)+c.Share*level)
		}
	}
	return out, nil
}

// difference turns the two scores of a binary probe into one.
func difference(l Linear) Linear {
	return Linear{D: l.D, Weights: floats.SubTo(make([]float64, l.D), l.Weights[l.D:], l.Weights[:l.D]), Bias: []float64{l.Bias[1] - l.Bias[0]}}
}

// classRows checks x and a target of classes and returns the labelled rows.
func classRows(x Rows, t Target, least int) ([]int, error) {
	if err := x.check("x"); err != nil {
		return nil, err
	}
	if err := t.Check(x.N, least); err != nil {
		return nil, err
	}
	if t.Task == Regression {
		return nil, fmt.Errorf("target %s is a regression: %w; it needs classes", t.Name, vectors.ErrArgument)
	}
	return t.Labelled(), nil
}
