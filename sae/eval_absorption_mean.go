package sae

import (
	"context"
	"fmt"

	"loupe/internal/stats"
)

// ConceptAbsorption is the absorption of one concept, such as a first letter.
type ConceptAbsorption struct {
	Name    string
	ProbeF1 float64 // of the dense probe that gave the direction
	AbsorptionReport
}

// AbsorptionSummary is the mean over concepts, with intervals over them.
type AbsorptionSummary struct {
	Fraction stats.Interval `json:"fraction"`
	Full     stats.Interval `json:"full"`
	Skipped  []string       `json:"skipped"` // concepts whose probe or number of texts is too poor to judge
}

// MeanAbsorption averages over the concepts that have MinTexts texts and whose dense probe reaches MinProbeF1.
func MeanAbsorption(ctx context.Context, concepts []ConceptAbsorption, cfg AbsorptionConfig, boot stats.BootstrapConfig) (AbsorptionSummary, error) {
	var s AbsorptionSummary
	var fraction, full []float64
	for _, c := range concepts {
		if c.ProbeF1 < cfg.MinProbeF1 || len(c.Full) < cfg.MinTexts {
			s.Skipped = append(s.Skipped, c.Name)
			continue
		}
		fraction, full = append(fraction, c.MeanFraction), append(full, c.FullRate)
	}
	if len(fraction) == 0 {
		return s, fmt.Errorf("sae: absorption: none of %d concepts has a probe of F1 %v and %d texts: %w; take a larger model or more texts", len(concepts), cfg.MinProbeF1, cfg.MinTexts, stats.ErrTooFew)
	}
	var err error
	if s.Fraction, err = MeanInterval(ctx, fraction, boot); err != nil {
		return s, fmt.Errorf("sae: absorption: %w", err)
	}
	if s.Full, err = MeanInterval(ctx, full, boot); err != nil {
		return s, fmt.Errorf("sae: absorption: %w", err)
	}
	return s, nil
}
