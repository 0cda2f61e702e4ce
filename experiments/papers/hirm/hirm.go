// Package hirm trains the first block of a text encoder on what its last one says of a concept, for objects and styles, and asks which
// block to train on which (HiRM).
package hirm

import (
	"context"
	"fmt"

	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/evaluate"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says what is erased and which blocks are compared.
type Config struct {
	compare.Config
	Styles   []string `json:"styles" doc:"concepts of the second domain, each erased by itself"`
	Blocks   []int    `json:"blocks" doc:"blocks that are trained, and blocks whose output is driven, in the ablation; empty: none"`
	Ablated  string   `json:"ablated" doc:"style that the ablation erases"`
	Training []string `json:"training" doc:"key=value pairs of the ablation's hirm-semantic that differ from its defaults"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "hirm", Doc: "HiRM: the first block trained on the last one's states; objects, styles, blocks (UA, IRA, CRA)", New: newConfig},
		Title: "HiRM: the first block misdirects, the last one is asked",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig(), Styles: []string{"cubism", "pixel art"}, Blocks: []int{0, 2, 5}, Ablated: "cubism"}
	c.Name = "hirm"
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Styles) == 0 || len(c.Blocks) > 0 && c.Ablated == "" {
		return fmt.Errorf("styles is %v and ablated %q; name a style for each", c.Styles, c.Ablated)
	}
	return c.Config.Validate()
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	cfg := c.Config.Config
	cfg.Task.Domain, cfg.Task.Cross, cfg.Task.Erase, cfg.Generated, cfg.Together = "styles", "objects", c.Styles, 0, nil
	suite, err := evaluate.NewSuite(ctx, r.Encoder, cfg)
	if err != nil {
		return err
	}
	var rows []*evaluate.Row
	for _, m := range c.Methods {
		found, conf, err := m.Resolve()
		if err != nil {
			return err
		}
		label := m.Label
		if label == "" {
			label = m.Name
		}
		row, err := suite.With(m.Seeds, nil, nil).Row(ctx, found, "styles-"+label, conf, nil)
		if err != nil {
			return err
		}
		rows = append(rows, row)
		compare.Numbers(s, compare.Key(row.Label), row)
	}
	s.Text("Erased from styles: %v, each by itself.", c.Styles)
	s.Table("styles", evaluate.Table(rows))
	s.Done("styles")
	defer s.Done("blocks")
	return ablate(ctx, s, c, suite)
}

// ablate trains one block on the output of another one, for every pair that is in order.
func ablate(ctx context.Context, s *study.Session, c *Config, suite *evaluate.Suite) error {
	t := report.Table{Caption: "hirm-semantic, which block is trained on which block's output: erased is " + c.Ablated,
		Columns: []report.Column{{Name: "trained"}, {Name: "asked"}, {Name: "UA"}, {Name: "IRA"}, {Name: "CRA"}, {Name: "mean"}, {Name: "drift", Doc: "of ordinary sentences"}}}
	best, first, drift, deepest := 0.0, 0.0, 0.0, 0.0
	for _, update := range c.Blocks {
		for _, asked := range c.Blocks {
			if asked < update {
				continue
			}
			settings := append([]string{fmt.Sprintf("update=[blocks.%d.*]", update), fmt.Sprintf("supervise=%d", asked)}, c.Training...)
			found, conf, err := compare.Method{Name: "hirm-semantic", Settings: settings}.Resolve()
			if err != nil {
				return err
			}
			row, err := suite.With(1, []string{c.Ablated}, nil).Row(ctx, found, fmt.Sprintf("block %d on %d", update, asked), conf, nil)
			if err != nil {
				return err
			}
			mean := (row.Unlearning.Value + row.InDomain.Value + row.CrossDomain.Value) / 3
			t.Rows = append(t.Rows, []any{update, asked, lab.Cell(*row.Unlearning), lab.Cell(*row.InDomain), lab.Cell(*row.CrossDomain), mean, lab.Cell(*row.Drift)})
			best = max(best, mean)
			if update == c.Blocks[0] && asked == c.Blocks[len(c.Blocks)-1] {
				first, drift = mean, row.Drift.Value
			}
			if update == c.Blocks[len(c.Blocks)-1] {
				deepest = row.Drift.Value
			}
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	s.Table("blocks", t)
	s.Value("blocks.first_on_last", first)
	s.Value("blocks.behind_best", best-first)
	s.Value("blocks.drift_over_last_on_last", drift/deepest)
	return nil
}
