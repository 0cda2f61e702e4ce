package evaluate

import (
	"context"
	"errors"
	"fmt"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/stats"
	"loupe/probe/text"
)

// addPeople makes the suite of fictional people, of whom sets are erased at once, beside the people of history, who are kept.
func (s *Suite) addPeople(ctx context.Context) error {
	cfg := s.cfg
	cfg.Generated, cfg.Together, cfg.Grid = 0, nil, 1
	cfg.Task.Domain, cfg.Task.Cross, cfg.Task.Erase, cfg.Task.Anchor = "people", "objects", nil, method.AnchorSuper
	t, err := method.NewTask(cfg.Task)
	if err != nil {
		return err
	}
	invented, err := text.NewEntities(text.EntityConfig{Number: s.cfg.Generated, Seed: s.cfg.Task.Seed, HeldOutShare: 0.5, SplitBy: "entity"})
	if err != nil {
		return err
	}
	for _, p := range invented {
		target, err := method.NewTarget("people", p.Name, "person")
		if err != nil {
			return err
		}
		s.names = append(s.names, target)
	}
	s.people = &Suite{cfg: cfg, e: s.e, domain: append(append([]method.Target(nil), s.names...), t.Erase...), cross: t.Cross[:2], heldOut: t.HeldOut}
	return s.people.read(ctx)
}

// together erases sets of fictional people at once.
func (s *Suite) together(ctx context.Context, m method.Method, conf any, row *Row, progress func(step string)) error {
	for _, n := range s.cfg.Together {
		if progress != nil {
			progress(fmt.Sprintf("%s: %d people at once", row.Label, n))
		}
		one, err := s.people.atOnce(ctx, m, conf, s.names, n)
		if err != nil {
			return fmt.Errorf("%d people at once: %w", n, err)
		}
		row.Together = append(row.Together, *one)
	}
	return nil
}

func (s *Suite) atOnce(ctx context.Context, m method.Method, conf any, names []method.Target, n int) (_ *Together, err error) {
	cfg := s.cfg.Task
	ordinary, err := method.NewTask(cfg)
	if err != nil {
		return nil, err
	}
	t := &method.Task{Domain: cfg.Domain, Erase: names[:n], Keep: s.domain[n:], Cross: s.cross, Benign: ordinary.Benign, HeldOut: ordinary.HeldOut, Seed: cfg.Seed}
	f, err := s.fit(ctx, m, conf, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.free(f.Variant)) }()
	c := newCollected()
	if err := s.erasedAndKept(ctx, f.Variant, n, c); err != nil {
		return nil, err
	}
	out := &Together{Concepts: n, Seconds: f.seconds / float64(n), Bytes: s.size(f.Variant) / int64(n), Allocated: f.allocated / int64(n)}
	for _, i := range []struct {
		to   **stats.Interval
		from *sample
		rate bool
	}{{&out.Erased, c.erased, true}, {&out.Specific, c.specific, true}, {&out.Drift, c.drift, false}} {
		if *i.to, err = i.from.interval(ctx, i.rate, cfg.Seed); err != nil {
			return nil, err
		}
	}
	out.Harmonic, err = harmonicInterval(ctx, c.erased, c.specific, c.general, cfg.Seed)
	return out, err
}

// erasedAndKept classifies the held-out prompts of the domain, whose first n concepts were erased.
func (s *Suite) erasedAndKept(ctx context.Context, v *encoder.Variant, n int, c *collected) error {
	texts := append([]string(nil), s.heldOut...)
	for _, t := range s.domain {
		texts = append(texts, t.Held...)
	}
	out, err := s.edit(ctx, v, texts)
	if err != nil {
		return err
	}
	for i, t := range s.domain {
		hit, err := s.recognised(s.zero, out, t.Held, i)
		if err != nil {
			return err
		}
		if i < n {
			each(t.Held, hit, c.erased)
		} else {
			each(t.Held, hit, c.specific)
		}
	}
	for _, t := range s.heldOut {
		c.drift.add(t, gap(out.x.RawRowView(out.row[t]), s.x.RawRowView(s.at[t])))
	}
	return nil
}
