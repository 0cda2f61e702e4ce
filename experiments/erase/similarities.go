package erase

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// SimilaritiesConfig are the settings of CorrectSimilarities.
type SimilaritiesConfig struct {
	Quantile float64 `json:"quantile" doc:"of the positive similarities: what is not above it counts as 0"`
	Window   int     `json:"window" doc:"tokens on either side that count"`
	Alpha    float64 `json:"alpha" doc:"share of the correction"`
}

// DefaultSimilarities returns the settings that implementations use.
func DefaultSimilarities() SimilaritiesConfig {
	return SimilaritiesConfig{Quantile: 0.5, Window: 2, Alpha: 0.1}
}

// Validate fails on a setting out of its range.
func (c SimilaritiesConfig) Validate() error {
	if !(c.Quantile >= 0 && c.Quantile <= 1) || !(c.Alpha >= 0 && c.Alpha <= 1) || c.Window < 0 {
		return fmt.Errorf("erase: quantile %v, alpha %v, window %d: %w; they need 0..1, 0..1, from 0", c.Quantile, c.Alpha, c.Window, vectors.ErrArgument)
	}
	return nil
}

// Corrected is a text whose concept tokens were corrected.
type Corrected struct {
	Hidden     *mat.Dense   // [T, d]
	Scores     []*mat.Dense // S~ of each concept token [T, d]
	Thresholds []float64    // tau of each
}

// CorrectSimilarities gives each concept token the part of its neighbours that agrees with it (T2I-Zero's correction by
// similarities, Tunanyan et al., arXiv:2310.07419, as two public implementations have it), for states f [T, d]:
//
//	S = f_c * f,   S~ = S 1[S > tau] / max S~, 0 outside the window,   f_c <- (1 - alpha) f_c + alpha sum_i S~_i * f_i
//
// All tokens are corrected from the original f.
func CorrectSimilarities(f *mat.Dense, tokens []int, cfg SimilaritiesConfig) (*Corrected, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, d, err := checkRows("states", f, 0)
	if err != nil {
		return nil, err
	}
	out := &Corrected{Hidden: mat.DenseCopyOf(f)}
	for _, c := range tokens {
		if c < 0 || c >= n {
			return nil, fmt.Errorf("erase: concept token %d of %d: %w", c, n, vectors.ErrArgument)
		}
		s := mat.NewDense(n, d, nil)
		var positive []float64
		for i := range n {
			floats.MulTo(s.RawRowView(i), f.RawRowView(c), f.RawRowView(i))
			for _, v := range s.RawRowView(i) {
				if v > 0 {
					positive = append(positive, v)
				}
			}
		}
		if len(positive) == 0 {
			return nil, fmt.Errorf("erase: concept token %d is zero and agrees with no token: %w", c, vectors.ErrArgument)
		}
		slices.Sort(positive)
		tau, top := quantile(positive, cfg.Quantile), positive[len(positive)-1]
		row := out.Hidden.RawRowView(c)
		floats.Scale(1-cfg.Alpha, row)
		for i := range n {
			score := s.RawRowView(i)
			for j, v := range score {
				if v > tau && i-c <= cfg.Window && c-i <= cfg.Window {
					score[j] = v / top
				} else {
					score[j] = 0
				}
				row[j] += cfg.Alpha * score[j] * f.At(i, j)
			}
		}
		out.Scores, out.Thresholds = append(out.Scores, s), append(out.Thresholds, tau)
	}
	return out, nil
}
