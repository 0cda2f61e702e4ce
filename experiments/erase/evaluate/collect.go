package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/method"
	"loupe/internal/stats"
)

// collected are the samples of a row.
type collected struct {
	erased, specific, general, implicit *sample
	ua, ira, cra                        *sample
	cosine, accuracy, rank, kv          *sample
	drift, missed, kvErased, kvDrift    *sample
	tpr, fpr, same                      *sample
	before, after, shuffled             *sample // probes
	condition, inverse, reached         *sample
	singular                            int
}

func newCollected() *collected {
	c := new(collected)
	for _, s := range c.all() {
		*s = newSample()
	}
	return c
}

func (c *collected) all() []**sample {
	return []**sample{&c.erased, &c.specific, &c.general, &c.implicit, &c.ua, &c.ira, &c.cra, &c.cosine, &c.accuracy, &c.rank, &c.kv, &c.drift, &c.missed,
		&c.kvErased, &c.kvDrift, &c.tpr, &c.fpr, &c.same, &c.before, &c.after, &c.shuffled, &c.condition, &c.inverse, &c.reached}
}

// h is the harmonic mean without an interval.
func (c *collected) h() float64 {
	v := []float64{1 - c.erased.mean(nil), c.specific.mean(nil)}
	if len(c.general.sum) > 0 {
		v = append(v, 1-c.general.mean(nil))
	}
	return harmonic(v)
}

// fill writes the samples' means with their intervals into a row.
func (c *collected) fill(ctx context.Context, row *Row, seed int64) error {
	for _, f := range []struct {
		to   **stats.Interval
		from *sample
		rate bool
	}{
		{&row.Erased, c.erased, true}, {&row.Specific, c.specific, true}, {&row.General, c.general, true}, {&row.Implicit, c.implicit, true},
		{&row.Unlearning, c.ua, true}, {&row.InDomain, c.ira, true}, {&row.CrossDomain, c.cra, true},
		{&row.NeighbourCosine, c.cosine, false}, {&row.NeighbourAccuracy, c.accuracy, true}, {&row.NeighbourRank, c.rank, false}, {&row.NeighbourKV, c.kv, false},
		{&row.Drift, c.drift, false}, {&row.Missed, c.missed, false}, {&row.KVErased, c.kvErased, false}, {&row.KVDrift, c.kvDrift, false},
		{&row.TPR, c.tpr, true}, {&row.FPR, c.fpr, true}, {&row.Identical, c.same, true},
		{&row.ProbeBefore, c.before, false}, {&row.ProbeAfter, c.after, false}, {&row.ProbeShuffled, c.shuffled, false},
		{&row.Condition, c.condition, false}, {&row.Inverse, c.inverse, false}, {&row.Reached, c.reached, true},
	} {
		var err error
		if *f.to, err = f.from.interval(ctx, f.rate, seed); err != nil {
			return err
		}
	}
	row.Singular = c.singular
	var err error
	row.Harmonic, err = harmonicInterval(ctx, c.erased, c.specific, c.general, seed)
	return err
}

// collect measures one fit; its accuracies also go to those of its seed.
func (s *Suite) collect(ctx context.Context, f *fitted, c, seed *collected) error {
	gone := map[string]bool{}
	var texts []string
	for _, t := range f.task.Erase {
		gone[t.Name] = true
		texts = append(append(texts, t.Fit...), slices.Concat(t.SynonymHeld...)...)
		texts = append(texts, t.Descriptions...)
	}
	for _, t := range s.domain {
		texts = append(texts, t.Held...)
	}
	for _, g := range s.grid {
		texts = append(texts, g.text)
	}
	texts = append(texts, s.heldOut...)
	out, err := s.edit(ctx, f.Variant, texts)
	if err != nil {
		return err
	}
	for i, t := range s.domain {
		hit, err := s.recognised(s.zero, out, t.Held, i)
		if err != nil {
			return err
		}
		if !gone[t.Name] {
			each(t.Held, hit, c.specific, seed.specific)
			continue
		}
		each(t.Held, hit, c.erased, seed.erased)
		for list, to := range map[*[]string][]*sample{ptr(slices.Concat(t.SynonymHeld...)): {c.general, seed.general}, &t.Descriptions: {c.implicit}} {
			if hit, err = s.recognised(s.zero, out, *list, i); err != nil {
				return err
			}
			each(*list, hit, to...)
		}
	}
	if err := s.onGrid(out, gone, c); err != nil {
		return err
	}
	if err := s.neighbours(out, gone, c); err != nil {
		return err
	}
	s.moved(f, out, c)
	if err := s.readKV(f, out, c); err != nil {
		return err
	}
	s.gate(f, out, gone, c)
	return s.invert(f, c)
}

func ptr[T any](x T) *T { return &x }

func each(texts []string, hit []bool, to ...*sample) {
	for _, s := range to {
		for i, t := range texts {
			s.hit(t, hit[i])
		}
	}
}

// recognised tells which texts are classified as a class.
func (s *Suite) recognised(z *erase.ZeroShot, out *edited, texts []string, class int) ([]bool, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	p, err := z.Predict(out.rows(texts))
	if err != nil {
		return nil, fmt.Errorf("classifying edited texts: %w", err)
	}
	hit := make([]bool, len(p))
	for i, got := range p {
		hit[i] = got == class
	}
	return hit, nil
}

// onGrid takes UA, IRA and CRA.
func (s *Suite) onGrid(out *edited, gone map[string]bool, c *collected) error {
	var texts []string
	for _, g := range s.grid {
		texts = append(texts, g.text)
	}
	x := out.rows(texts)
	own, err := s.zero.Predict(x)
	if err != nil {
		return err
	}
	other, err := s.other.Predict(x)
	if err != nil {
		return err
	}
	for i, g := range s.grid {
		if gone[s.domain[g.concept].Name] {
			c.ua.hit(g.text, own[i] != g.concept)
		} else {
			c.ira.hit(g.text, own[i] == g.concept)
		}
		c.cra.hit(g.text, other[i] == g.with)
	}
	return nil
}

// neighbours takes the forms of neighbour preservation over the kept concepts nearest to each erased one, by the mean embeddings of
// their held-out prompts.
func (s *Suite) neighbours(out *edited, gone map[string]bool, c *collected) error {
	var kept []int
	for i, t := range s.domain {
		if !gone[t.Name] {
			kept = append(kept, i)
		}
	}
	d := s.e.Width()
	was, now := mat.NewDense(len(kept), d, nil), mat.NewDense(len(kept), d, nil)
	for r, i := range kept {
		was.SetRow(r, meanRow(s.before(s.domain[i].Held)))
		now.SetRow(r, meanRow(out.rows(s.domain[i].Held)))
	}
	k := min(s.cfg.Neighbours, len(kept)-1)
	if k < 1 {
		return nil
	}
	p, err := erase.Neighbours(was, now, k)
	if err != nil {
		return err
	}
	for _, t := range s.domain {
		if !gone[t.Name] {
			continue
		}
		mean := meanRow(s.before(t.Held))
		order := slices.Clone(kept)
		near := map[int]float64{}
		for r, i := range kept {
			near[i] = cosine(mean, was.RawRowView(r))
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(near[b], near[a]) })
		for _, i := range order[:k] {
			r := slices.Index(kept, i)
			unit := t.Name + " / " + s.domain[i].Name
			c.cosine.add(unit, cosine(was.RawRowView(r), now.RawRowView(r)))
			c.rank.add(unit, p.Rank[r])
			hit, err := s.recognised(s.zero, out, s.domain[i].Held, i)
			if err != nil {
				return err
			}
			each(s.domain[i].Held, hit, c.accuracy)
		}
	}
	return nil
}

// moved takes the drift of ordinary sentences and the distance of the fitting prompts from their anchors.
func (s *Suite) moved(f *fitted, out *edited, c *collected) {
	for _, t := range s.heldOut {
		c.drift.add(t, gap(out.x.RawRowView(out.row[t]), s.x.RawRowView(s.at[t])))
	}
	for _, t := range f.task.Erase {
		for i, prompt := range t.Fit {
			c.missed.add(prompt, gap(out.x.RawRowView(out.row[prompt]), s.x.RawRowView(s.at[t.AnchorFit[i]])))
		}
	}
}

// readKV takes what the K/V stack makes of edited prompts: of erased concepts against their anchors, of neighbours and ordinary
// sentences against what they were.
func (s *Suite) readKV(f *fitted, out *edited, c *collected) error {
	if s.kv == nil {
		return nil
	}
	errs := func(texts, want []string, to *sample) error {
		e, err := erase.NeighbourKV(s.kv, s.kv, s.before(want), out.rows(texts))
		if err != nil {
			return err
		}
		for i, t := range texts {
			to.add(t, e[i])
		}
		return nil
	}
	for _, t := range f.task.Erase {
		if err := errs(t.Fit, t.AnchorFit, c.kvErased); err != nil {
			return err
		}
		for _, name := range t.Neighbours {
			i := slices.IndexFunc(s.domain, func(o method.Target) bool { return o.Name == name })
			if i < 0 {
				continue
			}
			if err := errs(s.domain[i].Held, s.domain[i].Held, c.kv); err != nil {
				return err
			}
		}
	}
	return errs(s.heldOut, s.heldOut, c.kvDrift)
}

// gate takes how often a hook acts, and what it leaves as it was.
func (s *Suite) gate(f *fitted, out *edited, gone map[string]bool, c *collected) {
	benign := slices.Clone(s.heldOut)
	for _, t := range s.domain {
		if !gone[t.Name] {
			benign = append(benign, t.Held...)
			continue
		}
		if f.Hook != nil {
			for _, prompt := range t.Held {
				c.tpr.hit(prompt, out.acted[out.row[prompt]])
			}
		}
	}
	for _, prompt := range benign {
		if f.Hook != nil {
			c.fpr.hit(prompt, out.acted[out.row[prompt]])
		}
		c.same.hit(prompt, out.same[out.row[prompt]])
	}
}

// invert is the closed-form attack on maps of the final states.
func (s *Suite) invert(f *fitted, c *collected) error {
	for _, t := range f.task.Erase {
		inv, linear, err := inverted(f.Variant, s.before(t.Held))
		if err != nil || !linear {
			return err
		}
		if inv == nil {
			c.singular++
			continue
		}
		c.condition.add(t.Name, inv.Condition)
		back, _, err := f.Hook.Apply(erase.Text{X: inv.X, Length: len(t.Held)})
		if err != nil {
			return err
		}
		p, err := s.zero.Predict(back)
		if err != nil {
			return err
		}
		class := slices.IndexFunc(s.domain, func(o method.Target) bool { return o.Name == t.Name })
		for i, prompt := range t.Held {
			c.inverse.add(prompt, inv.NormRatio[i])
			c.reached.hit(prompt, p[i] == class)
		}
	}
	return nil
}

func meanRow(x *mat.Dense) []float64 {
	n, d := x.Dims()
	out := make([]float64, d)
	for i := range n {
		floats.AddScaled(out, 1/float64(n), x.RawRowView(i))
	}
	return out
}

// cosine is 0 where a vector is.
func cosine(a, b []float64) float64 {
	n := floats.Norm(a, 2) * floats.Norm(b, 2)
	if n == 0 {
		return 0
	}
	return floats.Dot(a, b) / n
}

// gap is |a - b| / |b|.
func gap(a, b []float64) float64 { return floats.Distance(a, b, 2) / floats.Norm(b, 2) }
