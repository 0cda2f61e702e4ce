package study

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/gomlx/compute"

	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/lab"
	"loupe/internal/run"
)

// Base is what the configuration of every study begins with.
type Base struct {
	Name string `json:"name" doc:"name of the run folder"`
	Seed int64  `json:"seed" doc:"seed of all random draws"`
}

func (b *Base) base() *Base { return b }

// Study is the experiment of one paper.
type Study struct {
	Kind  config.Kind // kind of the configuration, which is the folder's name; New returns a pointer to a struct that embeds Base
	Title string      // of the report
	Run   func(ctx context.Context, s *Session, conf any) error
	// Steps, where it is set, says what a run of a configuration does, for a dry run.
	Steps func(conf any) []string
}

// Conf is implemented by pointers to structs that embed Base.
type Conf interface{ base() *Base }

// BaseOf returns the Base of a study's configuration. It panics where the configuration is none.
func BaseOf(conf any) Base { return *conf.(Conf).base() }

// Carry runs a study in a run folder, which the caller finishes.
func (st Study) Carry(ctx context.Context, b compute.Backend, conf any, dir *run.Dir, opt lab.Options) (_ *Result, err error) {
	clock, err := lab.NewClock(dir)
	if err != nil {
		return nil, err
	}
	s := &Session{Options: opt, backend: b, dir: dir, clock: clock, numbers: map[string]expect.Metric{}}
	if s.Engine != nil {
		s.before = s.Engine.Compiles()
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := st.Run(ctx, s, conf); err != nil {
		return nil, fmt.Errorf("%s: %w", st.Kind.Name, err)
	}
	if s.err != nil {
		return nil, fmt.Errorf("%s: %w", st.Kind.Name, s.err)
	}
	r := &Result{
		Title: st.Title, Folder: dir.Path(), Parts: s.parts, Metrics: lab.Named(s.numbers), Expected: opt.Judge(s.numbers), Other: opt.Other,
		Times: clock.Times, Compiles: s.compiles(),
	}
	if err := lab.WriteMetrics(dir, r.Metrics); err != nil {
		return nil, err
	}
	return r, r.writeReport(dir, opt)
}

// Plan is what a dry run says.
type Plan struct {
	Study    string        `json:"study"`
	Does     string        `json:"does"`
	Steps    []string      `json:"steps,omitempty"`
	Expected []expect.Line `json:"expected"`
	Other    string        `json:"other,omitempty"` // why the expectations are not for these settings
}

// Dry says what a run would do; the configuration has been checked when it was loaded. It writes nothing.
func (st Study) Dry(conf any, opt lab.Options) *Plan {
	p := &Plan{Study: st.Title, Does: st.Kind.Doc, Expected: opt.Expect, Other: opt.Other}
	if st.Steps != nil {
		p.Steps = st.Steps(conf)
	}
	return p
}

// Print writes the plan as aligned text.
func (p *Plan) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "STUDY\t%s\nDOES\t%s\n", p.Study, p.Does)
	for _, s := range p.Steps {
		fmt.Fprintf(w, "STEP\t%s\n", s)
	}
	if p.Other != "" {
		fmt.Fprintf(w, "\nEXPECTED\tnot judged: %s\n", p.Other)
	} else if len(p.Expected) > 0 {
		fmt.Fprintln(w, "\nEXPECTED\tcompared\texpected\tfrom")
		for _, l := range p.Expected {
			fmt.Fprintf(w, "%s\t%s\t%s %g\t%s\n", l.Metric, l.Use, l.Op, l.Value, l.From)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("study: %w", err)
	}
	return nil
}

// finite refuses numbers that say nothing.
func finite(name string, values ...float64) error {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the number %q is %v", name, v)
		}
	}
	return nil
}
