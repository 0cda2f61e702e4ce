package holistic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/vectors"
)

// agreement holds the importances against each other where the rest of the model is linear: the margin of the sentence's topic.
func (u *subject) agreement(ctx context.Context, s *study.Session, found []*vectors.Concepts) error {
	t := report.Table{
		Caption: "Last linear layer: largest difference of an importance from gradient x input, over the largest importance",
		Columns: []report.Column{{Name: "extraction"}, {Name: "largest importance"}},
	}
	methods := u.cfg.importances()
	for _, x := range methods[1:] {
		if x.Signed() {
			t.Columns = append(t.Columns, report.Column{Name: x.Name()})
		}
	}
	worst := 0.0
	for _, c := range found {
		codes, err := c.Encode(ctx, u.held.x)
		if err != nil {
			return err
		}
		var first *mat.Dense
		var cells []any
		for _, x := range methods {
			if !x.Signed() {
				continue
			}
			got, err := u.attribute(ctx, x, c, codes, u.margin)
			if err != nil {
				return err
			}
			if first == nil {
				first = got
				cells = []any{c.Method, largest(first)}
				continue
			}
			var less mat.Dense
			less.Sub(got, first)
			gap := largest(&less) / largest(first)
			worst = max(worst, gap)
			cells = append(cells, gap)
		}
		t.Rows = append(t.Rows, cells)
	}
	s.Value("agreement.worst", worst)
	s.Table("linear", t)
	return nil
}

// margin is the linear score of a topic.
func (u *subject) margin(class int) (vectors.Score, error) { return u.probe.Margin(class) }

// probability is the topic's probability.
func (u *subject) probability(class int) (vectors.Score, error) {
	return vectors.ClassProbability{Softmax: u.probe, Class: class}, nil
}

// attribute is the importance of concepts at every held-out row, each for the score of the row's topic.
func (u *subject) attribute(ctx context.Context, x vectors.Importance, c *vectors.Concepts, codes *mat.Dense, score func(class int) (vectors.Score, error)) (*mat.Dense, error) {
	return u.byClass(codes, func(class int, part *mat.Dense, _ []int) (*mat.Dense, error) {
		f, err := score(class)
		if err != nil {
			return nil, err
		}
		return x.Attribute(ctx, c.Score(f), part, uint64(u.cfg.Seed))
	})
}

// byClass puts together what f makes of each topic's rows of m, whose places it is told.
func (u *subject) byClass(m *mat.Dense, f func(class int, part *mat.Dense, places []int) (*mat.Dense, error)) (*mat.Dense, error) {
	n, r := m.Dims()
	var out *mat.Dense
	for class := range u.cfg.Topics {
		var places []int
		for i, k := range u.held.class {
			if k == class {
				places = append(places, i)
			}
		}
		part := mat.NewDense(len(places), r, nil)
		for j, i := range places {
			part.SetRow(j, m.RawRowView(i))
		}
		got, err := f(class, part, places)
		if err != nil {
			return nil, err
		}
		if out == nil {
			_, width := got.Dims()
			out = mat.NewDense(n, width, nil)
		}
		for j, i := range places {
			out.SetRow(i, got.RawRowView(j))
		}
	}
	return out, nil
}

// areas are those under the deletion and the insertion of every held-out row.
func (u *subject) areas(ctx context.Context, c *vectors.Concepts, codes, importance *mat.Dense) (deletion, insertion []float64, err error) {
	for _, out := range []struct {
		to    *[]float64
		curve func(context.Context, vectors.Score, *mat.Dense, *mat.Dense) (*mat.Dense, error)
	}{{&deletion, vectors.Deletion}, {&insertion, vectors.Insertion}} {
		curves, err := u.byClass(codes, func(class int, part *mat.Dense, places []int) (*mat.Dense, error) {
			f, err := u.probability(class)
			if err != nil {
				return nil, err
			}
			rank := mat.DenseCopyOf(part)
			for j, i := range places {
				rank.SetRow(j, importance.RawRowView(i))
			}
			return out.curve(ctx, c.Score(f), part, rank)
		})
		if err != nil {
			return nil, nil, err
		}
		if *out.to, err = vectors.AreaUnder(curves); err != nil {
			return nil, nil, err
		}
	}
	return deletion, insertion, nil
}

// importance compares the importances by deletion and insertion of concepts, for the probability of the sentence's topic.
func (u *subject) importance(ctx context.Context, s *study.Session, found []*vectors.Concepts) error {
	t := report.Table{
		Caption: fmt.Sprintf("Probability of the topic as concepts go and come, the most important first: areas over %d held-out sentences, and how much better they are than random orders", len(u.held.class)),
		Columns: []report.Column{{Name: "extraction"}, {Name: "importance"}, {Name: "deletion"}, {Name: "insertion"}, {Name: "deletion gain"}, {Name: "insertion gain"}},
	}
	for _, c := range found {
		codes, err := c.Encode(ctx, u.held.x)
		if err != nil {
			return err
		}
		var randomDown, randomUp, occlusion []float64
		if randomDown, randomUp, err = u.random(ctx, c, codes); err != nil {
			return err
		}
		row := func(name string, down, up []float64) error {
			cells := []any{c.Method, name}
			for _, m := range []struct {
				name string
				v    []float64
			}{{"deletion", down}, {"insertion", up}, {"deletion_gain", lab.Minus(randomDown, down)}, {"insertion_gain", lab.Minus(up, randomUp)}} {
				i, err := lab.MeanOver(ctx, m.v, u.held.word, u.cfg.Seed)
				if err != nil {
					return err
				}
				if name == "random" && strings.HasSuffix(m.name, "gain") {
					cells = append(cells, nil)
					continue
				}
				s.Interval(c.Method+"."+strings.ReplaceAll(name, " ", "_")+"."+m.name, i)
				cells = append(cells, lab.Cell(i))
			}
			t.Rows = append(t.Rows, cells)
			return nil
		}
		if err := row("random", randomDown, randomUp); err != nil {
			return err
		}
		for _, x := range u.cfg.importances() {
			got, err := u.attribute(ctx, x, c, codes, u.probability)
			if err != nil {
				return err
			}
			down, up, err := u.areas(ctx, c, codes, got)
			if err != nil {
				return err
			}
			if err := row(x.Name(), down, up); err != nil {
				return err
			}
			switch x.(type) {
			case vectors.OcclusionImportance:
				occlusion = down
			case vectors.SobolImportance: // comes after
				i, err := lab.MeanOver(ctx, lab.Minus(down, occlusion), u.held.word, u.cfg.Seed)
				if err != nil {
					return err
				}
				s.Interval(c.Method+".sobol_less_occlusion", i)
			}
		}
	}
	s.Table("importance", t)
	return nil
}

// random are the areas for concepts in random orders, means over the draws.
func (u *subject) random(ctx context.Context, c *vectors.Concepts, codes *mat.Dense) (down, up []float64, err error) {
	n, r := codes.Dims()
	rng := rand.New(rand.NewPCG(uint64(u.cfg.Seed), 0x72616e646f6d6f72)) // "randomor"
	down, up = make([]float64, n), make([]float64, n)
	for range u.cfg.Random {
		order := mat.NewDense(n, r, nil)
		order.Apply(func(int, int, float64) float64 { return rng.Float64() }, order)
		d, i, err := u.areas(ctx, c, codes, order)
		if err != nil {
			return nil, nil, err
		}
		for k := range n {
			down[k] += d[k] / float64(u.cfg.Random)
			up[k] += i[k] / float64(u.cfg.Random)
		}
	}
	return down, up, nil
}

// largest is the largest absolute entry.
func largest(m *mat.Dense) float64 { return max(mat.Max(m), -mat.Min(m)) }
