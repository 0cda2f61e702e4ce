package probe

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
	"loupe/vectors"
)

// RidgeConfig says how ridge probes are fitted.
type RidgeConfig struct {
	Lambda float64 `json:"lambda" doc:"penalty; 0: chosen by generalised cross-validation"`
}

// Validate names the field that is out of range.
func (c RidgeConfig) Validate() error {
	if !(c.Lambda >= 0) || math.IsInf(c.Lambda, 0) {
		return fmt.Errorf("probe: ridge: lambda is %v: %w; it is 0 (chosen by cross-validation) or more", c.Lambda, vectors.ErrArgument)
	}
	return nil
}

// RidgeFit is a ridge probe with the penalty that it has.
type RidgeFit struct {
	Linear
	Lambda float64
	GCV    float64 // the criterion at Lambda; 0 where Lambda was given
}

// Ridge fits ridge regressions to numbers, or to a concept's classes as -1 and +1: the minimum of |t - x w - b|² +
// lambda |w|² (see vectors.Ridge). With Lambda 0 the penalty is the one of a grid that minimises the criterion of
// Golub, Heath and Wahba (Technometrics 21, 1979)
//
//	GCV(lambda) = n |t - H t|² / (n - tr H)²,   H the map from targets to fitted values, its intercept counted
//
// from one eigendecomposition of the smaller Gram matrix of the centred rows, shared by targets with the same rows.
func Ridge(x Rows, targets []Target, cfg RidgeConfig) ([]RidgeFit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := x.check("x"); err != nil {
		return nil, err
	}
	var s *ridgeSpectrum
	var rows []int
	out := make([]RidgeFit, len(targets))
	for i, t := range targets {
		if err := t.Check(x.N, 1); err != nil {
			return nil, err
		}
		values, err := ridgeValues(t)
		if err != nil {
			return nil, err
		}
		if now := t.Labelled(); rows == nil || !slices.Equal(rows, now) {
			rows, s = now, nil
		}
		m := x.Take(rows).Dense()
		out[i].Lambda = cfg.Lambda
		if cfg.Lambda == 0 {
			if s == nil {
				if s, err = newRidgeSpectrum(m); err != nil {
					return nil, fmt.Errorf("probe: ridge of %s: %w", t.Name, err)
				}
			}
			out[i].Lambda, out[i].GCV = s.choose(values)
		}
		l, err := vectors.Ridge(m, values, out[i].Lambda)
		if err != nil {
			return nil, fmt.Errorf("probe: ridge of %s: %w", t.Name, err)
		}
		out[i].Linear = Linear{D: x.D, Weights: l.Weights, Bias: []float64{l.Bias}}
	}
	return out, nil
}

// ridgeValues are the labelled targets as numbers.
func ridgeValues(t Target) ([]float64, error) {
	if t.Task == Multiclass {
		return nil, fmt.Errorf("probe: ridge: target %s is %s: %w; it needs numbers or a binary target", t.Name, t.Task, vectors.ErrArgument)
	}
	var out []float64
	for _, i := range t.Labelled() {
		if t.Task == Regression {
			out = append(out, t.Value[i])
		} else {
			out = append(out, float64(2*t.Class[i]-1))
		}
	}
	return out, nil
}

// ridgeSpectrum holds the left singular vectors of centred rows and their squared singular values.
type ridgeSpectrum struct {
	n      int
	values []float64  // squared singular values above rounding
	left   *mat.Dense // [n, len(values)]
}

func newRidgeSpectrum(m *mat.Dense) (*ridgeSpectrum, error) {
	n, d := m.Dims()
	mean := make([]float64, d)
	for i := range n {
		floats.AddScaled(mean, 1/float64(n), m.RawRowView(i))
	}
	c := mat.DenseCopyOf(m)
	for i := range n {
		floats.Sub(c.RawRowView(i), mean)
	}
	gram := mat.NewSymDense(min(n, d), nil)
	if n < d {
		gram.SymOuterK(1, c)
	} else {
		gemm.AddGram(gram.RawSymmetric(), nil, c.RawMatrix())
	}
	var e mat.EigenSym
	if !e.Factorize(gram, true) {
		return nil, fmt.Errorf("eigenvalues of the activations: %w", vectors.ErrNotConverged)
	}
	var v mat.Dense
	e.VectorsTo(&v)
	all := e.Values(nil)
	most := all[len(all)-1]
	if !(most > 0) {
		return nil, fmt.Errorf("no column varies: %w", vectors.ErrSingular)
	}
	first := 0
	for all[first] <= most*1e-12 {
		first++
	}
	s := &ridgeSpectrum{n: n, values: all[first:], left: mat.NewDense(n, len(all)-first, nil)}
	kept := v.Slice(0, v.RawMatrix().Rows, first, len(all))
	if n < d {
		s.left.Copy(kept)
		return s, nil
	}
	s.left.Mul(c, kept)
	for i := range n {
		row := s.left.RawRowView(i)
		for j, l := range s.values {
			row[j] /= math.Sqrt(l)
		}
	}
	return s, nil
}

// choose returns the penalty of the grid with the least criterion.
func (s *ridgeSpectrum) choose(t []float64) (lambda, least float64) {
	level := floats.Sum(t) / float64(s.n)
	c, total := mat.NewVecDense(s.n, nil), 0.0
	for i, v := range t {
		c.SetVec(i, v-level)
		total += (v - level) * (v - level)
	}
	p := mat.NewVecDense(len(s.values), nil)
	p.MulVec(s.left.T(), c)
	outside := max(total-mat.Dot(p, p), 0) // what no weights reach
	most := s.values[len(s.values)-1]
	least = math.Inf(1)
	for e := -10.0; e <= 4; e += 0.25 {
		l := most * math.Pow(10, e)
		rest, df := outside, 1.0
		for j, v := range s.values {
			h := v / (v + l)
			df += h
			rest += (1 - h) * (1 - h) * p.AtVec(j) * p.AtVec(j)
		}
		free := float64(s.n) - df
		if free < 1e-3*float64(s.n) {
			continue // interpolation: the criterion is 0/0
		}
		if g := float64(s.n) * rest / (free * free); g < least {
			lambda, least = l, g
		}
	}
	return lambda, least
}
