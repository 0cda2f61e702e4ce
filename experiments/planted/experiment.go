package planted

import (
	"context"
	"fmt"

	"loupe/internal/report"
	"loupe/internal/study"
)

// Study is the experiment.
func Study() study.Study {
	return study.Study{Kind: Kind(), Title: "Planted features: what each dictionary architecture recovers", Run: func(ctx context.Context, s *study.Session, conf any) error {
		return (&experiment{s, conf.(*Config)}).run(ctx)
	}}
}

// experiment is one run.
type experiment struct {
	*study.Session
	cfg *Config
}

func (x *experiment) run(ctx context.Context) error {
	d := x.cfg.Data
	x.Text("%d unit directions in %d dimensions, %d of them in each row with strengths in [0.5, 1.5), noise %g. A feature is recovered when a decoder row has a cosine of at least %g with it; intervals are Wilson's, over features.",
		d.Features, d.Dim, d.Active, d.Noise, x.cfg.Cosine)
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{{"compare", x.recovery}, {"control", x.control}, {"prefixes", x.prefixes}, {"stability", x.stability}} {
		if err := part.do(ctx); err != nil {
			return err
		}
		x.Done(part.name)
	}
	return nil
}

// recovery trains every architecture at every width.
func (x *experiment) recovery(ctx context.Context) error {
	t := report.Table{
		Caption: fmt.Sprintf("Features recovered after %d steps of %d rows, seed %d", (x.cfg.Tokens+int64(x.cfg.Batch)-1)/int64(x.cfg.Batch), x.cfg.Batch, x.cfg.Base.Seed),
		Columns: []report.Column{
			{Name: "architecture"}, {Name: "F", Doc: "number of latents"}, {Name: "recovered", Doc: "share of the features"},
			{Name: "goal"}, {Name: "reached"}, {Name: "untrained", Doc: "the same share before the first step"}, {Name: "mean cosine"},
			{Name: "L0"}, {Name: "FVU"}, {Name: "dead"}, {Name: "lr", Doc: "peak learning rate"},
		},
	}
	for i, width := range x.cfg.Widths {
		for j := range x.cfg.Architectures {
			a := &x.cfg.Architectures[j]
			o, err := study.Step(x.Session, fmt.Sprintf("%s-f%d", a.name(), width), func() (outcome, error) { return x.compare(ctx, a, width) })
			if err != nil {
				return err
			}
			reached := "yes"
			if o.Recovered.Value < x.cfg.Goals[i] {
				reached = "no"
			}
			t.Rows = append(t.Rows, []any{
				o.Name, width, report.Interval{Value: o.Recovered.Value, Low: o.Recovered.Low, High: o.Recovered.High, N: o.Recovered.N},
				x.cfg.Goals[i], reached, o.Untrained, o.Cosine, o.L0, o.FVU, o.Dead, o.Rate,
			})
			key := x.cfg.key(a, width)
			x.Interval(key+"recovered", o.Recovered)
			x.Value(key+"untrained", o.Untrained)
			x.Value(key+"l0", o.L0)
			x.Value(key+"fvu", o.FVU)
		}
	}
	x.Table("recovered", t)
	for i := range x.cfg.Architectures {
		if a := &x.cfg.Architectures[i]; a.Why != "" {
			x.Text("%s: %s", a.name(), a.Why)
		}
	}
	return nil
}

// key begins the names of an autoencoder's numbers: its architecture and its latents for each feature.
func (c *Config) key(a *Architecture, width int) string {
	return fmt.Sprintf("%s.x%.3g.", a.name(), float64(width)/float64(c.Data.Features))
}

// control trains the first architecture on rows without features.
func (x *experiment) control(ctx context.Context) error {
	a, width := &x.cfg.Architectures[0], x.cfg.Widths[0]
	o, err := study.Step(x.Session, "control", func() (outcome, error) {
		p, err := x.cfg.rows(0)
		if err != nil {
			return outcome{}, err
		}
		before, after, err := x.cfg.train(ctx, x.Backend(), a, width, 0, scrambled{p, x.cfg.Data.Dim})
		if err != nil {
			return outcome{}, err
		}
		return x.measure(ctx, a, width, before, after)
	})
	if err != nil {
		return err
	}
	x.Value("control.recovered", o.Recovered.Value)
	x.Text("Control: %s of width %d, trained on the same rows with every dimension moved on by another number of rows, recovers %.3f.", a.name(), width, o.Recovered.Value)
	return nil
}
