// Package coerasing erases convex mixes of a concept's token states besides the concept: the text half of Co-Erasing.
package coerasing

import (
	"context"

	"loupe/experiments/erase/compare"
	"loupe/internal/config"
	"loupe/internal/study"
)

// Config says what is erased.
type Config struct{ compare.Config }

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "co-erasing", Doc: "Co-Erasing, text half: mixes of token states as further targets of UCE", New: newConfig},
		Title: "Co-Erasing, the text half: mixes of a concept's tokens as further targets",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig()}
	c.Name = "co-erasing"
	return c
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	uce, mixed := r.Row("uce"), r.Row("co-erasing")
	if uce == nil || mixed == nil {
		return nil
	}
	s.Value("acc_g.uce_less_mixed", uce.General.Value-mixed.General.Value)
	s.Value("implicit.uce_less_mixed", uce.Implicit.Value-mixed.Implicit.Value)
	s.Value("drift.mixed_over_uce", mixed.Drift.Value/uce.Drift.Value)
	if uce.ProbeAfter != nil && mixed.ProbeAfter != nil {
		s.Value("probe.uce_less_mixed", uce.ProbeAfter.Value-mixed.ProbeAfter.Value)
	}
	return nil
}
