package evaluate

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/method"
	"loupe/probe"
)

// recover fits a fresh logistic probe to the edited encoder: each erased concept's prompts in all templates against prompts of as many
// other concepts in the same ones, five folds over templates. What it scores beyond the majority of 0.5 is what is left of the
// concept, or made anew; the same on the original encoder and with shuffled labels stand beside it.
func (s *Suite) recover(ctx context.Context, f *fitted, c *collected) error {
	for _, t := range f.task.Erase {
		var texts []string
		var concept []bool
		var group []int
		own := append(append([]string(nil), t.Fit...), t.Held...)
		for i, prompt := range own {
			o := s.against(t, i)
			other := append(append([]string(nil), o.Fit...), o.Held...)
			texts, concept, group = append(texts, prompt, other[i]), append(concept, true, false), append(group, i, i)
		}
		out, err := s.edit(ctx, f.Variant, texts)
		if err != nil {
			return err
		}
		target := probe.NewBinary(t.Name, concept)
		seed := uint64(s.cfg.Task.Seed)
		for _, of := range []struct {
			x      *mat.Dense
			target probe.Target
			to     *sample
		}{{s.before(texts), target, c.before}, {out.rows(texts), target, c.after}, {out.rows(texts), probe.ShuffledLabels(target, nil, seed), c.shuffled}} {
			hits, err := foldHits(ctx, of.x, of.target, group, seed)
			if err != nil {
				return fmt.Errorf("probe of %s: %w", t.Name, err)
			}
			for i, prompt := range texts {
				of.to.add(t.Name+" / "+prompt, hits[i]-of.target.Majority())
			}
		}
	}
	return nil
}

// against is the i-th concept of the domain that is not the target, in turn.
func (s *Suite) against(t method.Target, i int) method.Target {
	n := len(s.domain)
	for k := range n {
		o := s.domain[(i+k)%n]
		if o.Name != t.Name {
			return o
		}
	}
	return s.domain[0]
}

// foldHits are 1 where a probe that was fitted without a row's fold is right about the row.
func foldHits(ctx context.Context, x *mat.Dense, t probe.Target, group []int, seed uint64) ([]float64, error) {
	rows, err := probe.RowsOf(x)
	if err != nil {
		return nil, err
	}
	folds, err := probe.Folds(t, group, 5, seed)
	if err != nil {
		return nil, err
	}
	hits := make([]float64, x.RawMatrix().Rows)
	for _, test := range folds {
		in := map[int]bool{}
		for _, r := range test {
			in[r] = true
		}
		var train []int
		for r := range hits {
			if !in[r] {
				train = append(train, r)
			}
		}
		fits, err := probe.Logistic(ctx, rows.Take(train), []probe.Target{t.Take(train)}, probe.DefaultLogistic())
		if err != nil {
			return nil, err
		}
		scores, err := fits[0].Scores(rows.Take(test))
		if err != nil {
			return nil, err
		}
		for i, h := range probe.Hits(t.Take(test), scores) {
			hits[test[i]] = h
		}
	}
	return hits, nil
}
