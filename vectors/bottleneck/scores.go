package bottleneck

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/vectors"
)

// How an embedding x is compared with a concept v.
const (
	Cosine     = "cosine"     // x.v / (|x| |v|), for concepts that are embeddings of phrases
	Projection = "projection" // x.v / |v|², for concept activation vectors (arXiv:2205.15480)
)

// Scorer turns embeddings into concept scores. No label enters: mean and deviation are those of the scores of the texts that
// it was fitted on, so that a score says how far a text lies above the usual for that concept, and concepts that all texts
// resemble do not drown the others.
type Scorer struct {
	Bank      Bank
	Measure   string
	Mean      []float64 // [m] of the raw scores
	Deviation []float64 // [m], sample standard deviation
}

// FitScorer takes the scores' mean and deviation over embeddings x [n, d], n >= 2.
func FitScorer(b Bank, x *mat.Dense, measure string) (*Scorer, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	if measure != Cosine && measure != Projection {
		return nil, argument("measure %q is unknown; use %s or %s", measure, Cosine, Projection)
	}
	s := &Scorer{Bank: b, Measure: measure}
	raw, err := s.Raw(x)
	if err != nil {
		return nil, err
	}
	n, m := raw.Dims()
	if n < 2 {
		return nil, fmt.Errorf("bottleneck: one text: %w; deviations need two or more", vectors.ErrShape)
	}
	s.Mean, s.Deviation = make([]float64, m), make([]float64, m)
	column := make([]float64, n)
	for j := range m {
		s.Mean[j], s.Deviation[j] = stat.MeanStdDev(mat.Col(column, j, raw), nil)
		if !(s.Deviation[j] > 1e-12) {
			return nil, fmt.Errorf("bottleneck: the score of concept %q is the same for all %d texts: %w; drop the concept", b.Names[j], n, vectors.ErrSingular)
		}
	}
	return s, nil
}

// Raw returns the scores [n, m] of embeddings x [n, d] as they are. An embedding that is 0 has no cosine and is an error.
func (s *Scorer) Raw(x *mat.Dense) (*mat.Dense, error) {
	m, d := s.Bank.Vectors.Dims()
	n, _, err := checkMatrix("embeddings", x, d)
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, m, nil)
	out.Mul(x, s.Bank.Vectors.T())
	scale := make([]float64, m)
	for j := range m {
		norm := floats.Norm(s.Bank.Vectors.RawRowView(j), 2)
		scale[j] = 1 / norm
		if s.Measure == Projection {
			scale[j] /= norm
		}
	}
	for i := range n {
		row := out.RawRowView(i)
		floats.Mul(row, scale)
		if s.Measure == Projection {
			continue
		}
		norm := floats.Norm(x.RawRowView(i), 2)
		if norm == 0 {
			return nil, argument("embedding %d is 0 and has no cosine", i)
		}
		floats.Scale(1/norm, row)
	}
	return out, nil
}

// Apply returns the standardised scores [n, m] of embeddings x [n, d].
func (s *Scorer) Apply(x *mat.Dense) (*mat.Dense, error) {
	out, err := s.Raw(x)
	if err != nil {
		return nil, err
	}
	n, _ := out.Dims()
	for i := range n {
		row := out.RawRowView(i)
		floats.Sub(row, s.Mean)
		floats.Div(row, s.Deviation)
	}
	return out, nil
}
