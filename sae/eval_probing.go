package sae

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"loupe/internal/stats"
)

// ProbeConfig says how sparse probes are fitted.
type ProbeConfig struct {
	K          []int   `json:"k" yaml:"k"`                     // numbers of latents; 0 stands for all
	C          float64 `json:"c" yaml:"c"`                     // inverse strength of the L2 penalty
	TrainShare float64 `json:"train_share" yaml:"train_share"` // the first rows of this share train, the others test
	Level      float64 `json:"level" yaml:"level"`             // of the intervals
}

// DefaultProbeConfig returns k = 1, 2, 5 and all latents, C = 1 and 70 % of the rows for training.
func DefaultProbeConfig() ProbeConfig {
	return ProbeConfig{K: []int{1, 2, 5, 0}, C: 1, TrainShare: 0.7, Level: 0.95}
}

// Validate names the field that is out of range.
func (c ProbeConfig) Validate() error {
	switch {
	case len(c.K) == 0 || slices.Min(c.K) < 0:
		return fmt.Errorf("sae: sparse probing: k is %v; give numbers of latents, 0 for all", c.K)
	case !(c.C > 0):
		return fmt.Errorf("sae: sparse probing: c is %v; it must be positive", c.C)
	case !(c.TrainShare > 0 && c.TrainShare < 1):
		return fmt.Errorf("sae: sparse probing: train_share is %v; it must lie between 0 and 1", c.TrainShare)
	case !(c.Level > 0 && c.Level < 1):
		return fmt.Errorf("sae: sparse probing: level is %v; it must lie between 0 and 1", c.Level)
	}
	return nil
}

// ProbeScore is one probe on the test rows.
type ProbeScore struct {
	K           int     `json:"k"`       // 0: all
	Latents     []int32 `json:"latents"` // in the order of Coef; nil for all
	LinearProbe `json:"-"`
	Accuracy    stats.Interval `json:"accuracy"` // Wilson
	AUC         stats.Interval `json:"auc"`      // Newcombe
	F1          float64        `json:"f1"`       // 0 where nothing is or is called positive
}

// ProbeReport is a binary probing task.
type ProbeReport struct {
	Train          int          `json:"train"`
	Test           int          `json:"test"`
	Majority       float64      `json:"majority_accuracy"` // of the more frequent class, on the test rows
	MeanDifference []float64    `json:"-"`                 // mean of the positive minus the negative training rows, [F]
	Order          []int32      `json:"-"`                 // latents by falling |MeanDifference|, equal ones by index
	Scores         []ProbeScore `json:"scores"`
}

// SparseProbe asks how well few latents tell a concept: the k latents whose class means differ most on the training rows
// carry a logistic regression (Karvonen et al., SAEBench, arXiv:2503.09532, after Gurnee et al., arXiv:2305.01610). x is
// [n, F], mostly latents that PoolLatents averaged over a text's tokens. The dense baseline is the same call on the
// activations themselves ([SparseOf]) with K = 0. Rows must come in random order, as the first of them train.
func SparseProbe(ctx context.Context, x *Sparse, positive []bool, cfg ProbeConfig) (ProbeReport, error) {
	if err := cfg.Validate(); err != nil {
		return ProbeReport{}, err
	}
	n := x.Rows()
	if n != len(positive) {
		return ProbeReport{}, fmt.Errorf("sae: sparse probing: %d labels for %d rows", len(positive), n)
	}
	train := int(float64(n) * cfg.TrainShare)
	for what, part := range map[string][]bool{"training": positive[:train], "test": positive[train:]} {
		if c := countTrue(part); c == 0 || c == len(part) {
			return ProbeReport{}, fmt.Errorf("sae: sparse probing: %d of the %d %s rows are positive: %w; shuffle the rows or take more", c, len(part), what, stats.ErrDegenerate)
		}
	}
	trainX, testX, testY := x.Slice(0, train), x.Slice(train, n), positive[train:]
	r := ProbeReport{Train: train, Test: n - train, MeanDifference: meanDifference(trainX, positive[:train])}
	share := float64(countTrue(testY)) / float64(len(testY))
	r.Majority = max(share, 1-share)
	r.Order = fallingMagnitude(r.MeanDifference)
	for _, k := range cfg.K {
		s := ProbeScore{K: k}
		fitX, evalX := trainX, testX
		if k > 0 {
			s.Latents = r.Order[:min(k, x.Cols)]
			fitX, evalX = trainX.Columns(s.Latents), testX.Columns(s.Latents)
		}
		var err error
		if s.LinearProbe, err = FitLogistic(ctx, fitX, positive[:train], cfg.C); err != nil {
			return ProbeReport{}, fmt.Errorf("sae: sparse probing with k = %d: %w", k, err)
		}
		if err := s.measure(s.Scores(evalX), testY, cfg.Level); err != nil {
			return ProbeReport{}, err
		}
		r.Scores = append(r.Scores, s)
	}
	return r, nil
}

func (s *ProbeScore) measure(scores []float64, positive []bool, level float64) error {
	right, both, called := 0, 0, 0
	for i, v := range scores {
		if (v > 0) == positive[i] {
			right++
		}
		if v > 0 {
			called++
			if positive[i] {
				both++
			}
		}
	}
	if both > 0 {
		s.F1 = 2 * float64(both) / float64(called+countTrue(positive))
	}
	var errAcc, errAUC error
	s.Accuracy, errAcc = stats.Wilson(right, len(scores), level)
	s.AUC, errAUC = stats.AUCNewcombe(scores, positive, level)
	return errors.Join(errAcc, errAUC)
}

// meanDifference is the mean of the positive rows minus that of the others, [Cols]. Both must be there.
func meanDifference(x *Sparse, positive []bool) []float64 {
	n := float64(countTrue(positive))
	diff := make([]float64, x.Cols)
	for r, p := range positive {
		weight := 1 / n
		if !p {
			weight = -1 / (float64(len(positive)) - n)
		}
		index, value := x.Row(r)
		for j, c := range index {
			diff[c] += weight * value[j]
		}
	}
	return diff
}

// fallingMagnitude orders the places of v by falling |v|, equal ones by index.
func fallingMagnitude(v []float64) []int32 {
	size := make([]float64, len(v))
	for i, a := range v {
		size[i] = math.Abs(a)
	}
	return falling(size)
}

// falling orders the places of v by falling value, equal ones by index.
func falling(v []float64) []int32 {
	order := make([]int32, len(v))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(v[b], v[a]) })
	return order
}
