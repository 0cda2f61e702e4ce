package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"loupe/experiments/erase"
	"loupe/experiments/erase/attack"
	"loupe/experiments/erase/method"
	"loupe/internal/stats"
)

// modes are where attacks are found.
func modes() []string { return []string{attack.ModeStatic, attack.ModeAdaptive} }

// attacked are the samples of one attack in one mode.
type attacked struct {
	before, after *sample
	queries       int
	seconds       float64
}

// attack runs the configured attacks on one fit. Those that do not apply to it are left out.
func (s *Suite) attack(ctx context.Context, f *fitted, all map[string]*attacked) error {
	for _, t := range f.task.Erase {
		class := slices.IndexFunc(s.domain, func(o method.Target) bool { return o.Name == t.Name })
		goal := attack.Goal{Target: t, Class: class, Zero: s.zero, Prompts: t.Held[:min(s.cfg.AttackPrompts, len(t.Held))], Seed: f.task.Seed}
		for _, name := range s.cfg.Attacks {
			a, err := attack.Find(name)
			if err != nil {
				return err
			}
			for _, mode := range modes() {
				goal.Mode = mode
				r, err := a.Run(ctx, s.e, f.Variant, goal, a.Config())
				if errors.Is(err, attack.ErrNotApplicable) || errors.Is(err, erase.ErrSingular) { // a singular map has no inverse to attack by
					continue
				}
				if err != nil {
					return fmt.Errorf("attack %s, %s: %w", name, mode, err)
				}
				key := name + " " + mode
				if all[key] == nil {
					all[key] = &attacked{before: newSample(), after: newSample()}
				}
				to := all[key]
				to.queries, to.seconds = to.queries+r.Queries, to.seconds+r.Seconds
				for i, prompt := range r.Prompts {
					to.before.hit(prompt, r.Before[i])
					to.after.hit(prompt, r.Before[i] || r.After[i])
				}
			}
		}
	}
	return nil
}

// fillAttacks writes the attacks' rates into a row, in the order of the configuration.
func (s *Suite) fillAttacks(ctx context.Context, row *Row, all map[string]*attacked) error {
	for _, name := range s.cfg.Attacks {
		for _, mode := range modes() {
			a := all[name+" "+mode]
			if a == nil {
				continue
			}
			out := Attacked{Attack: name, Adaptive: mode == attack.ModeAdaptive, Queries: a.queries, Seconds: a.seconds}
			for _, i := range []struct {
				to   **stats.Interval
				from *sample
			}{{&out.Before, a.before}, {&out.After, a.after}} {
				var err error
				if *i.to, err = i.from.interval(ctx, true, s.cfg.Task.Seed); err != nil {
					return err
				}
			}
			row.Attacks = append(row.Attacks, out)
		}
	}
	return nil
}
