package erase

import (
	"fmt"

	"gonum.org/v1/gonum/floats"

	"loupe/vectors"
)

// ESDTarget is what a concept's reading is trained towards: away from the concept as seen from empty text, by eta times their
// difference, null - eta (concept - null) (Gandikota et al., arXiv:2303.07345, eq. 7, with a reader in place of the denoiser).
func ESDTarget(null, concept []float64, eta float64) ([]float64, error) {
	if len(null) == 0 || len(null) != len(concept) {
		return nil, fmt.Errorf("erase: readings of %d and %d entries: %w", len(null), len(concept), vectors.ErrShape)
	}
	out := make([]float64, len(null))
	floats.AddScaledTo(out, null, eta, null)
	floats.AddScaled(out, -eta, concept)
	return out, checkFinite("target", out)
}
