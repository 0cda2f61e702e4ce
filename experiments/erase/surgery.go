package erase

import (
	"fmt"

	"gonum.org/v1/gonum/floats"

	"loupe/vectors"
)

// GradientSurgery takes from the gradient of unlearning its part against that of retaining, where they point apart:
//
//	g - <g, b> b,   b = retain / |retain|                       (PCGrad, Yu et al., arXiv:2001.06782)
//	g - <a, b> b,   a = g / |g|                                 (unitScale, as DoCo's code has it, arXiv:2405.15304)
//
// The second subtracts a vector of at most length 1 from a gradient of any length, so that it leaves conflict in long gradients
// and overshoots in short ones. Where they do not conflict, or retain is 0, g is returned as it is.
func GradientSurgery(unlearn, retain []float64, unitScale bool) ([]float64, error) {
	if len(unlearn) == 0 || len(unlearn) != len(retain) {
		return nil, fmt.Errorf("erase: gradients of %d and %d entries: %w", len(unlearn), len(retain), vectors.ErrShape)
	}
	if err := checkFinite("gradient of unlearning", unlearn); err != nil {
		return nil, err
	}
	if err := checkFinite("gradient of retaining", retain); err != nil {
		return nil, err
	}
	out := append([]float64(nil), unlearn...)
	dot, norm := floats.Dot(unlearn, retain), floats.Norm(retain, 2)
	if dot >= 0 {
		return out, nil
	}
	along := dot / norm / norm
	if unitScale {
		along /= floats.Norm(unlearn, 2)
	}
	floats.AddScaled(out, -along, retain)
	return out, nil
}
