package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// INLPConfig says how long INLP goes on.
type INLPConfig struct {
	Rounds int     `json:"rounds" yaml:"rounds"`
	C      float64 `json:"c" yaml:"c"` // weight of the loss of each round's classifier
	// MinAccuracy ends it before a round whose classifier is at or below this training accuracy; 0 runs every round.
	MinAccuracy float64 `json:"min_accuracy" yaml:"min_accuracy"`
}

// DefaultINLP has the rounds of the paper's word embeddings and scikit-learn's C.
func DefaultINLP() INLPConfig { return INLPConfig{Rounds: 35, C: 1} }

// Validate names the field that is out of range.
func (c INLPConfig) Validate() error {
	switch {
	case c.Rounds < 1:
		return fmt.Errorf("vectors: INLP: rounds is %d: %w; it is 1 or more", c.Rounds, ErrArgument)
	case !(c.MinAccuracy >= 0 && c.MinAccuracy <= 1):
		return fmt.Errorf("vectors: INLP: min_accuracy is %v: %w; it is a share", c.MinAccuracy, ErrArgument)
	}
	return checkPenalty("INLP", c.C)
}

// INLPRound is one classifier whose directions were removed.
type INLPRound struct {
	Weights  *mat.Dense // [1, d] for two classes, [k, d] for more
	Accuracy float64    // on the projected rows that it was fitted on
	Rank     int        // directions removed up to and with this round
}

// INLPFit is the outcome of INLP.
type INLPFit struct {
	*Eraser
	Rounds []INLPRound
	basis  *mat.Dense // [r, d]
}

// INLP is iterative nullspace projection (arXiv:2004.07667): each round fits the exact logistic optimum on x P, adds its
// weights to an orthonormal basis Q, and sets P = I - Q'Q; the original x is projected each time, so that rounding does
// not add up. It stops early when no direction is left.
func INLP(ctx context.Context, x *mat.Dense, y []int, cfg INLPConfig) (*INLPFit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	_, d, counts, err := checkClasses(x, y, 0, 1)
	if err != nil {
		return nil, err
	}
	fit := &INLPFit{Eraser: projection(nil, make([]float64, d))}
	for range cfg.Rounds {
		projected, err := fit.Apply(x)
		if err != nil {
			return nil, err
		}
		weights, accuracy, err := classify(ctx, projected, y, len(counts), cfg.C)
		if err != nil {
			return nil, fmt.Errorf("INLP, round %d: %w", len(fit.Rounds)+1, err)
		}
		if accuracy <= cfg.MinAccuracy {
			break
		}
		grown := orthonormal(fit.basis, weights)
		if grown == fit.basis {
			break
		}
		fit.basis = grown
		fit.Eraser = projection(grown, make([]float64, d))
		fit.Rounds = append(fit.Rounds, INLPRound{Weights: weights, Accuracy: accuracy, Rank: fit.Rank()})
	}
	return fit, nil
}

// After is the eraser as it was after the given number of rounds, from 1 to len(Rounds).
func (f *INLPFit) After(rounds int) (*Eraser, error) {
	if rounds < 1 || rounds > len(f.Rounds) {
		return nil, fmt.Errorf("vectors: INLP after round %d of %d: %w", rounds, len(f.Rounds), ErrArgument)
	}
	_, d := f.basis.Dims()
	q := f.basis.Slice(0, f.Rounds[rounds-1].Rank, 0, d).(*mat.Dense)
	return projection(q, make([]float64, d)), nil
}

// classify fits the logistic or multinomial optimum and returns its weights and training accuracy.
func classify(ctx context.Context, x *mat.Dense, y []int, k int, c float64) (*mat.Dense, float64, error) {
	if k == 2 {
		fit, err := Logistic(ctx, x, y, c)
		if err != nil {
			return nil, 0, err
		}
		accuracy, err := fit.Accuracy(x, y)
		return mat.NewDense(1, len(fit.Weights), fit.Weights), accuracy, err
	}
	fit, err := Multinomial(ctx, x, y, c)
	if err != nil {
		return nil, 0, err
	}
	accuracy, err := fit.Accuracy(x, y)
	return fit.Weights, accuracy, err
}
