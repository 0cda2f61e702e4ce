// Package trce maps sentences to their safe twins, so that descriptions that never name a concept are mapped with
// them (stage 1 of arXiv:2503.07389).
package trce

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
		Kind:  config.Kind{Name: "trce", Doc: "TRCE stage 1: implicit prompts beside keyword erasure (arXiv:2503.07389)", New: newConfig},
		Title: "TRCE, stage 1: descriptions that never name the concept",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig()}
	c.Name = "trce"
	return c
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	nothing, uce, trce := r.Row("nothing"), r.Row("uce-keyword"), r.Row("trce")
	if nothing == nil || uce == nil || trce == nil {
		return nil
	}
	fall, other := nothing.Implicit.Value-trce.Implicit.Value, nothing.Implicit.Value-uce.Implicit.Value
	s.Value("implicit.fall_trce", fall)
	s.Value("implicit.fall_uce", other)
	if other > 0 {
		s.Value("implicit.trce_over_uce", fall/other)
	}
	return nil
}
