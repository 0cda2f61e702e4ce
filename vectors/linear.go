package vectors

import (
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Linear is a linear score of an activation: Weights . x + Bias, positive for the concept.
type Linear struct {
	Weights []float64 `json:"weights"` // [d]
	Bias    float64   `json:"bias"`
}

// Scores returns the score of each row of x [n, d].
func (l Linear) Scores(x *mat.Dense) ([]float64, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("weights", len(l.Weights), d); err != nil {
		return nil, err
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = floats.Dot(x.RawRowView(i), l.Weights) + l.Bias
	}
	return out, nil
}

// Accuracy is the share of rows of x [n, d] whose score is above 0 exactly when y is 1.
func (l Linear) Accuracy(x *mat.Dense, y []int) (float64, error) {
	scores, err := l.Scores(x)
	if err != nil {
		return 0, err
	}
	if _, err := checkLabels(len(scores), y, 2, 0); err != nil {
		return 0, err
	}
	right := 0
	for i, s := range scores {
		if (s > 0) == (y[i] == 1) {
			right++
		}
	}
	return float64(right) / float64(len(y)), nil
}
