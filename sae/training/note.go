package training

import (
	"fmt"

	"loupe/sae"
)

// note says in a line how training stands: the measures of the one SAE, or the range over all.
func note(all []sae.StepStats) string {
	if len(all) == 1 {
		s := all[0]
		return fmt.Sprintf("loss %.4g  FVU %.3f  L0 %.1f  dead %d", s.Loss, s.FVU, s.L0, s.Dead)
	}
	span := func(format string, of func(sae.StepStats) float64) string {
		low, high := of(all[0]), of(all[0])
		for _, s := range all {
			low, high = min(low, of(s)), max(high, of(s))
		}
		return fmt.Sprintf(format+".."+format, low, high)
	}
	return fmt.Sprintf("%d SAEs  loss %s  FVU %s  L0 %s  dead %s", len(all),
		span("%.3g", func(s sae.StepStats) float64 { return s.Loss }), span("%.3f", func(s sae.StepStats) float64 { return s.FVU }),
		span("%.1f", func(s sae.StepStats) float64 { return s.L0 }), span("%.0f", func(s sae.StepStats) float64 { return float64(s.Dead) }))
}
