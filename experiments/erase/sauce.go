package erase

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// SAUCEConfig are the settings of FitSAUCE.
type SAUCEConfig struct {
	Features int     `json:"features" doc:"features that are scaled, those that the concept raises most"`
	Factor   float64 `json:"factor" doc:"of their codes, in all tokens"`
}

// DefaultSAUCE takes the few features that the concept raises most, and turns them round.
func DefaultSAUCE() SAUCEConfig { return SAUCEConfig{Features: 8, Factor: -1} }

// Validate fails on settings that select nothing or change nothing.
func (c SAUCEConfig) Validate() error {
	if c.Features < 1 {
		return fmt.Errorf("erase: features is %d: %w; use 1 or more", c.Features, vectors.ErrArgument)
	}
	if math.IsNaN(c.Factor) || math.IsInf(c.Factor, 0) || c.Factor == 1 {
		return fmt.Errorf("erase: factor is %v: %w; use one other than 1, such as 0 or -1", c.Factor, vectors.ErrArgument)
	}
	return nil
}

// SAUCE scales features of an autoencoder in all tokens of every text, x + (factor - 1) sum z_i f_i over the features i that are active
// (Geng et al., arXiv:2503.14530). It has no gate and takes no account of what other concepts use: that is ItD's set difference. What
// the autoencoder does not reconstruct stays, so that a text without the features keeps its bits.
type SAUCE struct {
	Coder    Coder
	Features []int     // ascending
	Gap      []float64 // of each: its mean code with the concept less that without
	Factor   float64
}

// FitSAUCE takes the features whose mean over the tokens of texts with the concept is furthest above that over texts without it. Start
// tokens and padding do not count.
func FitSAUCE(coder Coder, with, without []Text, cfg SAUCEConfig) (*SAUCE, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	gap, err := meanCodes(coder, with, "texts with the concept")
	if err != nil {
		return nil, err
	}
	other, err := meanCodes(coder, without, "texts without it")
	if err != nil {
		return nil, err
	}
	order := make([]int, len(gap))
	for f := range gap {
		order[f] = f
		gap[f] -= other[f]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(gap[b], gap[a]) })
	if cfg.Features > len(order) || gap[order[cfg.Features-1]] <= 0 {
		return nil, fmt.Errorf("erase: the concept raises fewer than %d of %d features: %w; lower features", cfg.Features, len(order), vectors.ErrArgument)
	}
	s := &SAUCE{Coder: coder, Features: slices.Sorted(slices.Values(order[:cfg.Features])), Factor: cfg.Factor}
	for _, f := range s.Features {
		s.Gap = append(s.Gap, gap[f])
	}
	return s, nil
}

// meanCodes are the mean codes [F] over all tokens of texts but the start.
func meanCodes(coder Coder, texts []Text, what string) ([]float64, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("erase: no %s: %w", what, vectors.ErrShape)
	}
	sum, n := make([]float64, coder.Features()), 0
	for i, t := range texts {
		if _, err := t.check(fmt.Sprintf("%s, %d", what, i), coder.Width()); err != nil {
			return nil, err
		}
		z, err := coder.Encode(t.X)
		if err != nil {
			return nil, err
		}
		for token := 1; token < t.Length; token++ {
			n++
			for j, f := range z.Index[token] {
				sum[f] += z.Value[token][j]
			}
		}
	}
	for f := range sum {
		sum[f] /= float64(n)
	}
	return sum, nil
}

// changes are the codes times factor - 1 of the features that are scaled; any is false where none is active.
func (s *SAUCE) changes(z *Codes) (changes *Codes, any bool) {
	changes = z.times(func(_ int, f int32) float64 {
		if _, ours := slices.BinarySearch(s.Features, int(f)); ours {
			any = true
			return s.Factor - 1
		}
		return 0
	})
	return changes, any
}

// Apply returns the scaled states, and the very matrix that it was given where none of the features is active.
func (s *SAUCE) Apply(t Text) (x *mat.Dense, acted bool, err error) {
	z, err := s.Coder.Encode(t.X)
	if err != nil {
		return nil, false, err
	}
	changes, any := s.changes(z)
	if !any {
		return t.X, false, nil
	}
	if x, err = s.Coder.Directions(changes); err != nil {
		return nil, false, err
	}
	x.Add(x, t.X)
	return x, true, nil
}

// Pullback is the gradient of a loss with respect to the states [T, d] that Apply was given, for its gradient g with respect to those
// that Apply returned, which features are active being held fixed.
func (s *SAUCE) Pullback(t Text, g *mat.Dense) (*mat.Dense, error) {
	z, err := s.Coder.Encode(t.X)
	if err != nil {
		return nil, err
	}
	for _, value := range z.Value {
		for j := range value {
			value[j] = 1
		}
	}
	factors, any := s.changes(z)
	if !any {
		return g, nil
	}
	out, err := s.Coder.Pullback(factors, g)
	if err != nil {
		return nil, err
	}
	out.Add(out, g)
	return out, nil
}
