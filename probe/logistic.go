package probe

import (
	"context"
	"fmt"
	"math"

	"loupe/vectors"
)

// LogisticConfig says how logistic probes are fitted.
type LogisticConfig struct {
	C           float64 `json:"c" doc:"weight of the loss against the L2 penalty, as scikit-learn's C"`
	Standardize bool    `json:"standardize" doc:"penalise weights of activations that are scaled to standard deviation 1 over the training rows"`
	Tolerance   float64 `json:"tolerance" doc:"the search ends when what is left to gain is below this share of the loss without weights"`
}

// DefaultLogistic is scikit-learn's penalty on standardised activations.
func DefaultLogistic() LogisticConfig {
	return LogisticConfig{C: 1, Standardize: true, Tolerance: 1e-6}
}

// Validate names the field that is out of range.
func (c LogisticConfig) Validate() error {
	switch {
	case !(c.C > 0) || math.IsInf(c.C, 0):
		return fmt.Errorf("probe: logistic: c is %v: %w; it is a weight above 0", c.C, vectors.ErrArgument)
	case !(c.Tolerance > 0 && c.Tolerance < 1):
		return fmt.Errorf("probe: logistic: tolerance is %v: %w; it is a share between 0 and 1, such as 1e-6", c.Tolerance, vectors.ErrArgument)
	}
	return nil
}

// Logistic fits a logistic probe to each binary target, each the minimum over w and b of
//
//	0.5 |s w|² + C sum_i log(1 + exp(-y_i (w.x_i + b))),   y_i = ±1, s the standard deviations or 1
//
// over the rows that it labels. All targets are fitted at once: a pass over the rows, by vector instructions in float32,
// serves every target (see [linearFit]). The exact optimum in float64 is vectors.Logistic.
func Logistic(ctx context.Context, x Rows, targets []Target, cfg LogisticConfig) ([]Linear, error) {
	return fitHeads(ctx, x, targets, cfg, Binary, func(t Target) head { return logisticHead(t.Class) })
}

// logisticHead is the logistic loss of labels 0, 1 and Unlabelled.
type logisticHead []int

func (logisticHead) columns() int { return 1 }

func (h logisticHead) slope(z []float32, first, rows int) float64 {
	loss, product := 0.0, 1.0
	for r := range rows {
		label := h[first+r]
		if label == Unlabelled {
			z[r] = 0
			continue
		}
		m := float64(z[r]) // of the negative class
		if label == 1 {
			m = -m
		}
		e := math.Exp(-math.Abs(m))
		loss += max(m, 0)
		product *= 1 + e // at most 2 each: log of the product of a block is the sum of the logs
		g := 1 / (1 + e)
		if m < 0 {
			g *= e
		}
		if label == 1 {
			g = -g
		}
		z[r] = float32(g)
	}
	return loss + math.Log(product)
}
