package probe

import (
	"fmt"

	"loupe/vectors"
)

// Linear is a probe with scores x W' + b.
type Linear struct {
	D       int
	Weights []float64 // [outputs, D]
	Bias    []float64 // [outputs]

	Objective   float64 // that the fit minimised; 0 where there is none
	Evaluations int     // of the objective
}

// Outputs returns the number of scores a row.
func (l Linear) Outputs() int { return len(l.Bias) }

// Scores returns [n, outputs] for rows x [n, D].
func (l Linear) Scores(x Rows) ([]float64, error) {
	if x.D != l.D {
		return nil, fmt.Errorf("probe: activations of width %d for a probe of width %d: %w; is it of another model or site?", x.D, l.D, vectors.ErrShape)
	}
	return linearScores(x, appendFloat32(nil, l.Weights), appendFloat32(nil, l.Bias)), nil
}

// Direction returns the weights of an output as a new slice [D].
func (l Linear) Direction(output int) []float64 {
	return append([]float64(nil), l.Weights[output*l.D:(output+1)*l.D]...)
}
