package vectors

import (
	"fmt"

	"loupe/internal/stats"
)

// Adjusted is a p-value corrected for the table of tests that it is of.
type Adjusted struct {
	P    float64 `json:"p"`
	Holm float64 `json:"holm"` // at or below alpha: the chance of any false claim in the table is at most alpha
	BH   float64 `json:"bh"`   // at or below alpha: the expected share of false claims is at most alpha
}

// AdjustP corrects the p-values of all tests of a table: every concept, layer and class that was tried.
func AdjustP(p []float64) ([]Adjusted, error) {
	holm, err := stats.Holm(p)
	if err != nil {
		return nil, fmt.Errorf("vectors: adjust: %w", err)
	}
	bh, err := stats.BenjaminiHochberg(p)
	if err != nil {
		return nil, fmt.Errorf("vectors: adjust: %w", err)
	}
	out := make([]Adjusted, len(p))
	for i := range out {
		out[i] = Adjusted{P: p[i], Holm: holm[i], BH: bh[i]}
	}
	return out, nil
}
