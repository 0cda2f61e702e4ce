// Package sauce scales the autoencoder features that a concept raises most, in all texts, and holds that against ItD's set difference and
// gate at equal accuracy on the erased concept (arXiv:2503.14530).
package sauce

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/study"
)

// Config says what is erased, and the settings that are tried.
type Config struct {
	study.Base
	Model    string             `json:"model" doc:"text encoder"`
	Eval     evaluate.Config    `json:"eval" doc:"what is erased and how it is measured"`
	SAUCE    method.SAUCEConfig `json:"sauce" doc:"settings that the factors are changed of; ItD has the same autoencoder"`
	Factors  []float64          `json:"factors" doc:"of the features"`
	Features []int              `json:"features" doc:"numbers of features"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "sauce", Doc: "autoencoder features scaled in all texts, against ItD's set difference and gate (arXiv:2503.14530)", New: newConfig},
		Title: "SAUCE-style scaling of autoencoder features, beside ItD at equal Acc_e",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	m, err := method.Find("sauce")
	if err != nil {
		panic(err)
	}
	c := &Config{Base: study.Base{Name: "sauce", Seed: 1}, Model: "minilm", Eval: evaluate.DefaultConfig(), SAUCE: *m.Config().(*method.SAUCEConfig),
		Factors: []float64{0, -1, -4}, Features: []int{1, 8}}
	c.Eval.Task.Erase = []string{"dog", "church", "boat"}
	c.Eval.Generated, c.Eval.Together, c.Eval.Probe = 0, nil, false
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if err := c.Eval.Validate(); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	if len(c.Eval.Task.Erase) == 0 || len(c.Factors) == 0 || len(c.Features) == 0 {
		return fmt.Errorf("eval.task.erase is %v, factors %v, features %v; name at least one of each", c.Eval.Task.Erase, c.Factors, c.Features)
	}
	for _, f := range c.Factors {
		for _, n := range c.Features {
			o := c.SAUCE
			o.SAUCEConfig.Factor, o.SAUCEConfig.Features = f, n
			if err := o.Validate(); err != nil {
				return err
			}
		}
	}
	return nil
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	e, err := compare.Open(ctx, s, c.Model, "")
	if err != nil {
		return err
	}
	c.Eval.Task.Seed = c.Seed
	if c.SAUCE.Dictionary.Cache == "" {
		c.SAUCE.Dictionary.Cache = filepath.Join(s.Stores, "dictionaries")
	}
	if _, err := new(method.Dictionaries).Open(ctx, e, c.SAUCE.Dictionary, c.Seed); err != nil {
		return err
	}
	s.Done("autoencoder")
	suite, err := evaluate.NewSuite(ctx, e, c.Eval)
	if err != nil {
		return err
	}
	var rows []*evaluate.Row
	measure := func(label, name string, conf any) error {
		m, err := method.Find(name)
		if err != nil {
			return err
		}
		row, err := study.Step(s, "row-"+label, func() (*evaluate.Row, error) { return suite.Row(ctx, m, label, conf, nil) })
		if err != nil {
			return err
		}
		rows = append(rows, row)
		s.Done(label)
		return nil
	}
	if err := measure("nothing", "nothing", &method.None{}); err != nil {
		return err
	}
	found, err := method.Find("itd")
	if err != nil {
		return err
	}
	itd := found.Config().(*method.ITDConfig)
	itd.Dictionary = c.SAUCE.Dictionary
	if err := measure("itd", "itd", itd); err != nil {
		return err
	}
	for _, n := range c.Features {
		for _, f := range c.Factors {
			o := c.SAUCE
			o.SAUCEConfig.Factor, o.SAUCEConfig.Features = f, n
			if err := measure(fmt.Sprintf("%d x %g", n, f), "sauce", &o); err != nil {
				return err
			}
		}
	}
	s.Table("methods", evaluate.Table(rows))
	s.Text("Needs images and is not here: %s.", strings.Join(evaluate.ImageOnly(), ", "))
	compare.Numbers(s, "nothing", rows[0])
	compare.Numbers(s, "itd", rows[1])
	equal := equal(rows[1], rows[2:])
	compare.Numbers(s, "sauce", equal)
	s.Text("At equal Acc_e: ItD has %.3f, %s (features x factor) %.3f, the nearest of the settings.", rows[1].Erased.Value, equal.Label, equal.Erased.Value)
	s.Value("gap.acc_e", math.Abs(equal.Erased.Value-rows[1].Erased.Value))
	s.Value("gap.acc_s", rows[1].Specific.Value-equal.Specific.Value)
	s.Value("gap.acc_g", rows[1].General.Value-equal.General.Value)
	s.Value("gap.drift", equal.Drift.Value-rows[1].Drift.Value)
	s.Value("gap.identical", rows[1].Identical.Value-equal.Identical.Value)
	return nil
}

// equal is the row whose Acc_e is nearest to ItD's; of several the one that keeps most, and then drifts least.
func equal(itd *evaluate.Row, rows []*evaluate.Row) *evaluate.Row {
	best := rows[0]
	for _, r := range rows[1:] {
		a, b := math.Abs(r.Erased.Value-itd.Erased.Value), math.Abs(best.Erased.Value-itd.Erased.Value)
		if a < b || a == b && (r.Specific.Value > best.Specific.Value || r.Specific.Value == best.Specific.Value && r.Drift.Value < best.Drift.Value) {
			best = r
		}
	}
	return best
}
