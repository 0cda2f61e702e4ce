package fitting

import (
	"fmt"
	"slices"
	"strings"

	"loupe/internal/config"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/capture"
	"loupe/probe/sweep"
	"loupe/vectors"
)

// Kind is the kind of its configuration file.
const Kind = "vectors"

// Config says which vectors are fitted to what.
type Config struct {
	study.Base

	Data     sweep.Data           `json:"data" doc:"labelled activations, from a store or captured"`
	Methods  []string             `json:"methods" doc:"directions: diff-means, diff-means-whitened, mass-mean-cov, lda, logistic, ridge, cav, pca; erasers: ablation, mean-projection, leace, inlp, rlace, sal"`
	Settings vectors.MethodConfig `json:"settings" doc:"of the methods"`
	Shuffles int                  `json:"shuffles" doc:"fits to shuffled labels that a direction stands beside"`

	Intervals probe.IntervalConfig `json:"intervals" doc:"of the held-out scores"`
}

// DefaultConfig fits the difference of means.
func DefaultConfig() Config {
	return Config{
		Base: study.Base{Name: "vectors", Seed: 1}, Data: sweep.DefaultData(), Methods: []string{vectors.MethodDiffOfMeans},
		Settings: vectors.DefaultMethodConfig(), Shuffles: 3, Intervals: probe.DefaultIntervals(),
	}
}

// ConfigKind is the kind of configuration, for `loupe config`.
func ConfigKind() config.Kind {
	return config.Kind{Name: Kind, Doc: "fit concept directions and erasers, beside shuffled labels, and save them", New: func() any {
		c := DefaultConfig()
		return &c
	}}
}

// DeriveDefaults captures the sites that are read, over the concepts that are asked for, into a store of the run's name.
func (c *Config) DeriveDefaults() { derive(&c.Data, c.Name, c.Seed) }

func derive(d *sweep.Data, name string, seed int64) {
	if d.Store == "" {
		d.Store = "stores/" + name
		for _, site := range d.Sites {
			d.Capture.Sites = append(d.Capture.Sites, capture.SiteConfig{Site: site, Reduce: capture.Tokens, DType: "float32"})
		}
	}
	if len(d.Capture.Corpus.Concepts) == 0 && d.Target.By == "concept" {
		d.Capture.Corpus.Concepts = slices.Clone(d.Target.Values)
	}
	d.Seed = uint64(seed)
	d.DeriveDefaults()
}

// Validate checks what does not depend on the store.
func (c *Config) Validate() error {
	known := append(vectors.DirectionMethods(), vectors.EraserMethods()...)
	switch {
	case c.Name == "" || c.Seed < 0:
		return fmt.Errorf("name is %q and seed %d; name the run, and use a seed from 0 on", c.Name, c.Seed)
	case len(c.Methods) == 0:
		return fmt.Errorf("methods is empty; there are %s", strings.Join(known, ", "))
	case c.Shuffles < 1:
		return fmt.Errorf("shuffles is %d; use at least 1: a result without its control is not printed", c.Shuffles)
	}
	for i, m := range c.Methods {
		if m == vectors.MethodOracle || m == vectors.MethodQuadratic {
			return fmt.Errorf("method %s needs the labels of what it erases, so that there is nothing to save; compare it in `loupe vectors ablate`", m)
		}
		if !slices.Contains(known, m) {
			if near, ok := config.Nearest(m, known); ok {
				return fmt.Errorf("method %q is unknown; did you mean %q?", m, near)
			}
			return fmt.Errorf("method %q is unknown; there are %s", m, strings.Join(known, ", "))
		}
		if slices.Contains(c.Methods[:i], m) {
			return fmt.Errorf("method %q is listed twice", m)
		}
	}
	for _, err := range []error{c.Data.Validate(), c.Settings.Validate(), c.Intervals.Validate()} {
		if err != nil {
			return err
		}
	}
	return nil
}
