package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Steering adds a vector to activations: x' = x + Strength * Vector, after taking away x's own part along it if Ablate.
type Steering struct {
	Vector   []float64 // [d], of any norm but 0
	Strength float64   // 0 with Ablate is plain directional ablation
	Ablate   bool      // first x - u (u.x), u the unit vector
	KeepNorm bool      // last, rescale to the norm that x had
}

func (s Steering) check() error {
	if err := checkVector("steering vector", s.Vector, 0); err != nil {
		return err
	}
	if math.IsNaN(s.Strength) || math.IsInf(s.Strength, 0) {
		return fmt.Errorf("vectors: steering strength is %v: %w", s.Strength, ErrNotFinite)
	}
	return nil
}

// Apply returns the steered rows of x [n, d]. Where KeepNorm meets a sum of zero the row stays zero.
func (s Steering) Apply(x *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := checkWidth("steering vector", len(s.Vector), d); err != nil {
		return nil, err
	}
	norm2 := floats.Dot(s.Vector, s.Vector)
	out := mat.DenseCopyOf(x)
	for i := range n {
		row := out.RawRowView(i)
		along := s.Strength
		if s.Ablate {
			along -= floats.Dot(row, s.Vector) / norm2
		}
		floats.AddScaled(row, along, s.Vector)
		if now := floats.Norm(row, 2); s.KeepNorm && now > 0 {
			floats.Scale(floats.Norm(x.RawRowView(i), 2)/now, row)
		}
	}
	return out, nil
}
