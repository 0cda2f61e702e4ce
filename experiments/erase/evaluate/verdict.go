package evaluate

import (
	"context"
	"fmt"
	"strings"

	"loupe/experiments/erase/method"
)

// Names of the methods that every other has to beat.
const (
	nothingName = "nothing"
	randomName  = "random-subspace"
)

// judge compares a row's harmonic mean with those of doing nothing and of a random subspace of its rank.
func (s *Suite) judge(ctx context.Context, row *Row) error {
	if row.Method == nothingName || row.Method == randomName {
		row.Verdict = "a control"
		return nil
	}
	var short []string
	for _, name := range []string{nothingName, randomName} {
		c, err := s.control(ctx, name, row.Rank)
		if err != nil {
			return err
		}
		if !(row.Harmonic.Low > c.Harmonic.High) {
			short = append(short, fmt.Sprintf("%s (%.3f [%.3f, %.3f])", c.Label, c.Harmonic.Value, c.Harmonic.Low, c.Harmonic.High))
		}
	}
	if row.Beats = len(short) == 0; row.Beats {
		row.Verdict = fmt.Sprintf("beats nothing and a random subspace of rank %d", row.Rank)
	} else {
		row.Verdict = "does not beat " + strings.Join(short, " and ")
	}
	return nil
}

// control is the row of doing nothing or of a random subspace, measured once.
func (s *Suite) control(ctx context.Context, name string, rank int) (*Row, error) {
	label := name
	if name == randomName {
		label = fmt.Sprintf("%s, rank %d", name, rank)
	}
	key := fmt.Sprint(label, s.Erased(), s.cfg.Seeds)
	if c, in := s.controls[key]; in {
		return c, nil
	}
	m, err := method.Find(name)
	if err != nil {
		return nil, err
	}
	conf := m.Config()
	if r, ok := conf.(*method.SubspaceConfig); ok {
		r.Rank = min(rank, s.e.Width())
	}
	small := *s
	small.cfg.Probe, small.cfg.Together, small.cfg.Attacks = false, nil, nil
	c, err := small.measure(ctx, m, label, conf, nil)
	if err != nil {
		return nil, fmt.Errorf("control %s: %w", label, err)
	}
	s.controls[key] = c
	return c, nil
}
