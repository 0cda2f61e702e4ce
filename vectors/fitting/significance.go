package fitting

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/sweep"
	"loupe/vectors"
)

// TestKind is the kind of the configuration of tests.
const TestKind = "vectors-test"

// TestConfig says which concepts are tested where.
type TestConfig struct {
	study.Base

	Data         sweep.Data           `json:"data" doc:"labelled activations, from a store or captured"`
	C            float64              `json:"c" doc:"weight of the squared hinge"`
	Permutations int                  `json:"permutations" doc:"fits to shuffled labels; the least p-value is one over one more"`
	Alpha        float64              `json:"alpha" doc:"corrected p-value at or below which a concept passes"`
	Intervals    probe.IntervalConfig `json:"intervals" doc:"of the held-out accuracy"`
}

// DefaultTestConfig has the loss of vectors.DefaultCAV and 99 permutations.
func DefaultTestConfig() TestConfig {
	return TestConfig{Base: study.Base{Name: "vectors-test", Seed: 1}, Data: sweep.DefaultData(), C: vectors.DefaultCAV().C, Permutations: 99, Alpha: 0.05, Intervals: probe.DefaultIntervals()}
}

// TestConfigKind is the kind of configuration, for `loupe config`.
func TestConfigKind() config.Kind {
	return config.Kind{Name: TestKind, Doc: "test concept activation vectors on held-out texts against shuffled labels, corrected for every test", New: func() any {
		c := DefaultTestConfig()
		return &c
	}}
}

// DeriveDefaults captures the sites that are read.
func (c *TestConfig) DeriveDefaults() { derive(&c.Data, c.Name, c.Seed) }

// Validate checks what does not depend on the store.
func (c *TestConfig) Validate() error {
	switch {
	case c.Name == "" || c.Seed < 0:
		return fmt.Errorf("name is %q and seed %d; name the run, and use a seed from 0 on", c.Name, c.Seed)
	case !(c.C > 0):
		return fmt.Errorf("c is %v; it is above 0", c.C)
	case c.Permutations < 19 || c.Permutations > 9999:
		return fmt.Errorf("permutations is %d; use 19 to 9999", c.Permutations)
	case !(c.Alpha > 0 && c.Alpha < 1):
		return fmt.Errorf("alpha is %v; it is between 0 and 1", c.Alpha)
	case c.Data.Target.Task != string(probe.Binary):
		return fmt.Errorf("data.target.task is %s; a concept activation vector needs binary targets", c.Data.Target.Task)
	}
	if err := c.Data.Validate(); err != nil {
		return err
	}
	return c.Intervals.Validate()
}

// Tests is the study behind `loupe vectors test`.
func Tests() study.Study {
	return study.Study{
		Kind: TestConfigKind(), Title: "Concept activation vectors, tested",
		Run: func(ctx context.Context, s *study.Session, conf any) error {
			return testAll(ctx, s, conf.(*TestConfig))
		},
		Steps: func(conf any) []string {
			c := conf.(*TestConfig)
			return append(dataSteps(&c.Data), fmt.Sprintf("test %s at %s: 1 + %d fits each", target(c.Data.Target), strings.Join(c.Data.Sites, ", "), c.Permutations))
		},
	}
}

// Test is one concept at one place.
type Test struct {
	Target   string         `json:"target"`
	Site     string         `json:"site"`
	Position string         `json:"position"`
	N        int            `json:"n"` // held-out rows
	Majority float64        `json:"majority"`
	Accuracy stats.Interval `json:"accuracy"` // held-out
	Null     []float64      `json:"null"`     // of fits to shuffled labels, on the real held-out labels
	P        float64        `json:"p"`
}

func testAll(ctx context.Context, s *study.Session, c *TestConfig) (err error) {
	src, err := open(ctx, s, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	var tests []Test
	var p []float64
	err = src.Sets(func(set sweep.Set) error {
		t, err := study.Step(s, fmt.Sprintf("test-%d", len(tests)), func() (Test, error) { return c.test(ctx, set) })
		if err != nil {
			return fmt.Errorf("%s at %s, %s: %w", set.Site, set.Position, set.Target.Name, err)
		}
		tests, p = append(tests, t), append(p, t.P)
		return nil
	})
	if err != nil {
		return err
	}
	s.Done("test")
	adjusted, err := vectors.AdjustP(p)
	if err != nil {
		return err
	}
	table := report.Table{Caption: fmt.Sprintf("Held-out accuracy of concept activation vectors, and %d fits to shuffled labels", c.Permutations), Columns: []report.Column{
		{Name: "target"}, {Name: "site"}, {Name: "position"}, {Name: "texts", Doc: "held-out"}, {Name: "accuracy"}, {Name: "majority"}, {Name: "shuffled, mean"}, {Name: "shuffled, largest"},
		{Name: "p", Doc: "share of shuffles at least as good, the real labels counted in"}, {Name: "Holm"}, {Name: "BH"}, {Name: "passes", Doc: "Holm at or below alpha, and the interval of the accuracy above the majority"},
	}}
	for i, t := range tests {
		mean, most := 0.0, 0.0
		for _, v := range t.Null {
			mean, most = mean+v/float64(len(t.Null)), max(most, v)
		}
		passes := adjusted[i].Holm <= c.Alpha && t.Accuracy.Low > t.Majority
		table.Rows = append(table.Rows, []any{t.Target, t.Site, t.Position, t.N, lab.Cell(t.Accuracy), t.Majority, mean, most, t.P, adjusted[i].Holm, adjusted[i].BH, passes})
		key := t.Target + "." + t.Site + "." + t.Position
		s.Interval(key+".accuracy", t.Accuracy)
		s.Value(key+".p", t.P)
		s.Value(key+".holm", adjusted[i].Holm)
		s.Value(key+".bh", adjusted[i].BH)
	}
	s.Table("tests", table)
	if least := 1 / float64(1+c.Permutations) * float64(len(tests)); least > c.Alpha {
		s.Text("With %d tests and %d permutations Holm's correction cannot go below %.3g: raise permutations to pass at %g.", len(tests), c.Permutations, least, c.Alpha)
	}
	return nil
}

func (c *TestConfig) test(ctx context.Context, set sweep.Set) (Test, error) {
	t := Test{Target: set.Target.Name, Site: set.Site, Position: set.Position, N: len(set.Split.Test)}
	x, held := set.X.Take(set.Split.Train).Dense(), set.X.Take(set.Split.Test).Dense()
	fit := func(target probe.Target) ([]float64, error) {
		cav, err := vectors.SquaredHinge(ctx, x, target.Take(set.Split.Train).Class, c.C)
		if err != nil {
			return nil, err
		}
		return cav.Scores(held)
	}
	scores, err := fit(set.Target)
	if err != nil {
		return t, err
	}
	m, err := evaluate(ctx, set, scores, c.Intervals, uint64(c.Seed))
	if err != nil {
		return t, err
	}
	t.Accuracy, t.Majority = m.Accuracy, m.Majority
	truth := set.Target.Take(set.Split.Test)
	above := 0
	for i := range c.Permutations {
		scores, err := fit(probe.ShuffledLabels(set.Target, set.Group, uint64(c.Seed)+uint64(i)+1))
		if err != nil {
			return t, fmt.Errorf("shuffled labels: %w", err)
		}
		right := 0.0
		for _, h := range probe.Hits(truth, scores) {
			right += h / float64(t.N)
		}
		t.Null = append(t.Null, right)
		if right >= t.Accuracy.Value-1e-12 {
			above++
		}
	}
	t.P = float64(1+above) / float64(1+c.Permutations)
	return t, nil
}
