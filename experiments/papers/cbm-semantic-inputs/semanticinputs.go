// Package semanticinputs is the experiment on whether concepts rest on the words that mean them (arXiv:2402.00912): concepts are
// learned from labels that go together more or less often, and attributions to planted words tell what was learned.
package semanticinputs

import (
	"context"
	"errors"
	"fmt"

	"loupe/internal/config"
	"loupe/internal/run"
	"loupe/internal/study"
	"loupe/probe/text"
	"loupe/vectors/bottleneck"
)

// Config is config.yaml.
type Config struct {
	study.Base
	Model   string    `json:"model" doc:"text encoder: minilm, a folder, or hf:org/name@rev"`
	First   []string  `json:"first" doc:"concepts of the suite"`
	Second  []string  `json:"second" doc:"for each of them the concept whose labels go together with its labels"`
	Fillers []string  `json:"fillers" doc:"concepts of the suite whose words fill the other places of a text"`
	Phi     []float64 `json:"phi" doc:"correlations of a pair's labels, descending from 1 to 0"`
	Train   int       `json:"train" doc:"training texts of each pair and correlation"`
	HeldOut int       `json:"held_out" doc:"held-out texts with both, one, the other and none, each, of words that training has not"`
	Audited int       `json:"audited" doc:"held-out texts with both concepts whose attributions are taken"`
	Steps   int       `json:"steps" doc:"points on the path of integrated gradients"`
}

// DefaultConfig returns the settings that config.yaml starts from.
func DefaultConfig() Config {
	return Config{
		Base: study.Base{Name: "cbm-semantic-inputs", Seed: 1}, Model: "minilm",
		First: []string{"sport", "animals", "food", "medicine"}, Second: []string{"music", "law", "travel", "computing"},
		Fillers: []string{"clothing", "countries", "family", "plants", "weather"},
		Phi:     []float64{1, 0.9, 0.5, 0}, Train: 200, HeldOut: 25, Audited: 10, Steps: 12,
	}
}

// Validate names the field that is out of range.
func (c *Config) Validate() error {
	switch {
	case c.Model == "":
		return errors.New("model is empty; use minilm")
	case len(c.First) == 0 || len(c.First) != len(c.Second) || len(c.Fillers) == 0:
		return fmt.Errorf("first has %d concepts, second %d and fillers %d; the first two must be as many, none empty", len(c.First), len(c.Second), len(c.Fillers))
	case len(c.Phi) < 2 || c.Phi[0] != 1 || c.Phi[len(c.Phi)-1] != 0:
		return fmt.Errorf("phi is %v; it must go from 1 to 0, which are compared", c.Phi)
	case c.Train < 8 || c.Train%4 != 0:
		return fmt.Errorf("train is %d; use a multiple of 4, 8 or more", c.Train)
	case c.HeldOut < 1 || c.Audited < 1 || c.Audited > c.HeldOut:
		return fmt.Errorf("held_out is %d and audited %d; use at least 1, and audit no more than there are", c.HeldOut, c.Audited)
	case c.Steps < 1:
		return fmt.Errorf("steps is %d; use at least 1", c.Steps)
	}
	for i, phi := range c.Phi {
		if phi < 0 || phi > 1 || i > 0 && phi >= c.Phi[i-1] {
			return fmt.Errorf("phi is %v; it must descend from 1 to 0", c.Phi)
		}
	}
	return nil
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "cbm-semantic-inputs", Doc: "do concepts rest on the words that mean them: attribution on planted words against the correlation of labels", New: func() any {
			c := DefaultConfig()
			return &c
		}},
		Title: "Do concepts rest on the words that mean them?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return carry(ctx, s, conf.(*Config)) },
	}
}

func carry(ctx context.Context, s *study.Session, c *Config) error {
	suite, err := text.NewSuite()
	if err != nil {
		return err
	}
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	if err := s.Dir().AddParent(run.Ref{Kind: "model", Name: l.Model.Name, Digest: l.Model.Digest}); err != nil {
		return err
	}
	const longest = 48 // tokens; the lists of three words have fewer
	enc, err := bottleneck.NewEncoder(l.Engine, l.Model, l.Tokenizer, longest)
	if err != nil {
		return err
	}
	var all results
	for i := range c.First {
		pair := [2]string{c.First[i], c.Second[i]}
		got, err := study.Step(s, fmt.Sprintf("pair-%d", i), func() (results, error) {
			p, err := plant(suite, c, pair, uint64(c.Seed)+uint64(i)<<16)
			if err != nil {
				return results{}, err
			}
			return p.measure(ctx, enc)
		})
		if err != nil {
			return fmt.Errorf("%s and %s: %w", pair[0], pair[1], err)
		}
		all.Audits, all.Probes = append(all.Audits, got.Audits...), append(all.Probes, got.Probes...)
		s.Done(pair[0] + " and " + pair[1])
	}
	return all.report(ctx, s, c)
}
