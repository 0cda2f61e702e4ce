// Package realera erases what lies near a concept, mined as noise around its prompts, and keeps what lies beyond (RealEra's closed form).
package realera

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
		Kind:  config.Kind{Name: "realera", Doc: "RealEra: mined neighbours against synonyms, beside UCE (arXiv:2410.09140)", New: newConfig},
		Title: "RealEra: erasing what lies near a concept",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig()}
	c.Name = "realera"
	return c
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	uce, mined := r.Row("uce-name"), r.Row("realera")
	if uce == nil || mined == nil {
		return nil
	}
	s.Value("acc_g.uce_less_realera", uce.General.Value-mined.General.Value)
	s.Value("acc_s.uce_less_realera", uce.Specific.Value-mined.Specific.Value)
	return nil
}
