package study

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"

	"loupe/internal/expect"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/run"
	"loupe/internal/stats"
	"loupe/probe/model"
)

// Session is one run of a study. The embedded options are the command line's.
type Session struct {
	lab.Options
	backend compute.Backend
	dir     *run.Dir
	clock   *lab.Clock
	labs    []*lab.Lab
	before  int // programs that the engine had compiled before the run
	parts   []Part
	numbers map[string]expect.Metric
	err     error // of the first call that could not take what it was given
}

// Backend is where graphs run.
func (s *Session) Backend() compute.Backend { return s.backend }

// Dir is the run folder.
func (s *Session) Dir() *run.Dir { return s.dir }

// Compiler is the engine of all models of the run: those of Open, and those that the study makes itself.
func (s *Session) Compiler() *model.Engine {
	if s.Engine == nil {
		s.Engine = model.NewEngine(s.backend, nil)
	}
	return s.Engine
}

// Open loads a model by name, folder or hub id. It is freed at the end of the run.
func (s *Session) Open(ctx context.Context, ref string) (*lab.Lab, error) {
	s.Compiler()
	l, err := lab.Open(ctx, s.backend, ref, s.dir, s.Options)
	if err != nil {
		return nil, err
	}
	s.labs = append(s.labs, l)
	return l, nil
}

// Value takes a number that an expectation can name, without an interval.
func (s *Session) Value(name string, v float64) { s.take(name, lab.Plain(v), v) }

// Interval takes a number with its interval.
func (s *Session) Interval(name string, i stats.Interval) {
	s.take(name, lab.Metric(i), i.Value, i.Low, i.High)
}

func (s *Session) take(name string, m expect.Metric, values ...float64) {
	if _, twice := s.numbers[name]; twice {
		s.fail(fmt.Errorf("the number %q is given twice", name))
		return
	}
	if err := finite(name, values...); err != nil {
		s.fail(err)
		return
	}
	s.numbers[name] = m
}

// Text adds a sentence to the summary and the report.
func (s *Session) Text(format string, args ...any) {
	s.parts = append(s.parts, Part{Text: fmt.Sprintf(format, args...)})
}

// Table adds a table to the summary, the report and tables/<name>.csv.
func (s *Session) Table(name string, t report.Table) {
	if err := s.writeCSV(name, t); err != nil {
		s.fail(err)
	}
	s.parts = append(s.parts, Part{Name: name, Table: &t})
}

// Plot adds a block to the report alone.
func (s *Session) Plot(b report.Block) { s.parts = append(s.parts, Part{block: b}) }

// Done ends a step, for the times in the summary.
func (s *Session) Done(step string) { s.clock.Done(step, false) }

// Step reads a finished step's result back from the run folder, or computes it and keeps it there, so that a run that was
// killed goes on behind it.
func Step[T any](s *Session, name string, do func() (T, error)) (T, error) {
	return lab.Step(s.dir, name, do)
}

func (s *Session) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *Session) compiles() int {
	if s.Engine == nil {
		return 0
	}
	return s.Engine.Compiles() - s.before
}

func (s *Session) close() error {
	var err error
	for _, l := range s.labs {
		err = errors.Join(err, l.Close())
	}
	return err
}
