package craft

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

// importance asks which concepts carry a held-out text's embedding towards the topic of its first sentence, and holds the
// answers against what happens when concepts go and come.
func (u *subject) importance(ctx context.Context, s *study.Session) error {
	c := u.cfg
	n := min(c.Scored, len(u.held.text))
	texts, seq := u.held.late[:n], 0
	for _, a := range texts {
		t, _ := a.Dims()
		seq = max(seq, (t+2+7)/8*8)
	}
	towards := make([][]float64, len(c.Topics))
	for k := range towards {
		towards[k] = u.direction(k)
	}
	head := func(i int) vectors.TextScore {
		return rest{lab: u.lab, layer: c.Layer, seq: seq, edges: u.held.edges[i], direction: towards[u.held.topics[i][0]]}
	}
	areas := func(importance *mat.Dense) (down, up []float64, err error) {
		deletion, insertion, err := u.craft.Curves(ctx, head, texts, importance)
		if err != nil {
			return nil, nil, err
		}
		if down, err = vectors.AreaUnder(deletion); err != nil {
			return nil, nil, err
		}
		up, err = vectors.AreaUnder(insertion)
		return down, up, err
	}
	randomDown, randomUp := make([]float64, n), make([]float64, n)
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x72616e646f6d6372)) // "randomcr"
	for range c.Random {
		order := mat.NewDense(n, c.Concepts, nil)
		order.Apply(func(int, int, float64) float64 { return rng.Float64() }, order)
		down, up, err := areas(order)
		if err != nil {
			return err
		}
		for i := range n {
			randomDown[i] += down[i] / float64(c.Random)
			randomUp[i] += up[i] / float64(c.Random)
		}
	}
	t := report.Table{
		Caption: fmt.Sprintf("Embedding along the topic of the first sentence as concepts go and come, the most important first: %d held-out texts", n),
		Columns: []report.Column{{Name: "importance"}, {Name: "topic's concept first", Doc: "share of texts whose most important concept is the topic's"}, {Name: "deletion"}, {Name: "insertion"}, {Name: "deletion gain", Doc: "over random orders"}, {Name: "insertion gain"}, {Name: "deletion gain over cosine"}},
	}
	cosines := mat.NewDense(n, c.Concepts, nil)
	for i := range n {
		for k := range c.Concepts {
			v, err := vectors.Cosine(u.truth.RawRowView(u.held.topics[i][0]), u.craft.Concepts.W.RawRowView(k))
			if err != nil {
				return err
			}
			cosines.Set(i, k, v)
		}
	}
	byCosine, _, err := areas(cosines)
	if err != nil {
		return err
	}
	type ranking struct {
		name       string
		importance *mat.Dense
	}
	list := []ranking{{"cosine with the topic", cosines}}
	for _, x := range []vectors.Importance{
		vectors.SobolImportance{Points: c.SobolPoints}, vectors.OcclusionImportance{}, vectors.GradientImportance{}, vectors.IntegratedImportance{Points: c.IGPoints},
	} {
		got, err := u.craft.Importance(ctx, x, head, texts, uint64(c.Seed))
		if err != nil {
			return err
		}
		list = append(list, ranking{x.Name(), got})
	}
	t.Rows = append(t.Rows, []any{"random", 1 / float64(c.Concepts), mean(randomDown), mean(randomUp), nil, nil, nil})
	for _, l := range list {
		down, up, err := areas(l.importance)
		if err != nil {
			return err
		}
		first := make([]float64, n)
		for i := range n {
			row := l.importance.RawRowView(i)
			best := 0
			for k, v := range row {
				if v > row[best] {
					best = k
				}
			}
			if best == u.partner[u.held.topics[i][0]] {
				first[i] = 1
			}
		}
		cells := []any{l.name}
		for _, m := range []struct {
			name string
			v    []float64
		}{{"first", first}, {"deletion", down}, {"insertion", up}, {"deletion_gain", lab.Minus(randomDown, down)}, {"insertion_gain", lab.Minus(up, randomUp)}, {"over_cosine", lab.Minus(byCosine, down)}} {
			i, err := lab.MeanOver(ctx, m.v, lab.UpTo(n), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(strings.ReplaceAll(l.name, " ", "_")+"."+m.name, i)
			cells = append(cells, lab.Cell(i))
		}
		t.Rows = append(t.Rows, cells)
	}
	s.Table("importance", t)
	return nil
}
