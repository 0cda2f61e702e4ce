// Package conceptmetrics measures concept bottlenecks on texts whose concepts and places are planted (arXiv:2501.19271).
package conceptmetrics

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/vectors"
)

// Config says what is planted and which bottlenecks are measured.
type Config struct {
	study.Base
	Model        string   `json:"model" doc:"text encoder"`
	Layer        int      `json:"layer" doc:"block after which texts are read"`
	Concepts     []string `json:"concepts" doc:"concepts of the built-in suite; class i has concepts i and i+1"`
	Classes      int      `json:"classes" doc:"fewer than concepts"`
	Own          float64  `json:"own" doc:"chance that a text holds a concept of its class"`
	Foreign      float64  `json:"foreign" doc:"chance that it holds another one"`
	Train        int      `json:"train" doc:"training texts"`
	Test         int      `json:"test" doc:"texts of held-out words and templates"`
	Pairs        int      `json:"pairs" doc:"sentence pairs of a concept, from which texts are put together, and from which the bank of vectors is fitted"`
	Top          int      `json:"top" doc:"most important concepts of a text"`
	Permutations int      `json:"permutations" doc:"renamings of the concepts in the null"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "concept-metrics", Doc: "CGIM, CEM and CLM of concept bottlenecks on planted texts (arXiv:2501.19271)", New: func() any {
			return &Config{
				Base: study.Base{Name: "concept-metrics", Seed: 1}, Model: "minilm", Layer: 5, Concepts: []string{"animals", "food", "music", "weather", "sport", "clothing"}, Classes: 4,
				Own: 0.9, Foreign: 0.15, Train: 400, Test: 200, Pairs: 60, Top: 2, Permutations: 199,
			}
		}},
		Title: "Concept metrics: are the important concepts of a bottleneck the right ones, are they there, and where?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case c.Classes < 2 || c.Classes >= len(c.Concepts):
		return fmt.Errorf("classes is %d with %d concepts; use two or more, and fewer than concepts", c.Classes, len(c.Concepts))
	case !(c.Own > 0 && c.Own <= 1) || !(c.Foreign >= 0 && c.Foreign < 1):
		return fmt.Errorf("own is %v and foreign %v; both are chances", c.Own, c.Foreign)
	case c.Train < 4*c.Classes || c.Test < 4 || c.Pairs < 8 || c.Top < 1 || c.Top > len(c.Concepts) || c.Permutations < 1:
		return fmt.Errorf("train is %d, test %d, pairs %d, top %d, permutations %d; use %d, 4, 8, 1 to %d, and 1 or more", c.Train, c.Test, c.Pairs, c.Top, c.Permutations, 4*c.Classes, len(c.Concepts))
	}
	return nil
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	p, err := plant(ctx, c, l)
	if err != nil {
		return err
	}
	base := 0.0
	for _, has := range p.test.present {
		for _, b := range has {
			if b {
				base += 1 / float64(len(has)*len(p.test.present))
			}
		}
	}
	s.Text("%d training and %d test texts of %d classes; a text holds %.2f of %d concepts, each in a sentence of its own, with words and templates that training has not.", c.Train, c.Test, c.Classes, base*float64(len(c.Concepts)), len(c.Concepts))
	s.Value("base_rate", base)
	s.Done("read")
	t := report.Table{
		Caption: fmt.Sprintf("Bottlenecks of %d concepts; CGIM over classes, P of %d renamings of the concepts; CEM of the top %d (chance %.3f); CLM beside the share of tokens that are of the concept", len(c.Concepts), c.Permutations, c.Top, base),
		Columns: []report.Column{{Name: "concept vectors"}, {Name: "accuracy"}, {Name: "CGIM"}, {Name: "P"}, {Name: "CEM"}, {Name: "CEM, concepts renamed"}, {Name: "CLM"}, {Name: "CLM, chance"}},
	}
	for _, b := range []struct {
		name, key string
		fit       func() (*mat.Dense, error)
	}{
		{"probes of the training texts", "trained", func() (*mat.Dense, error) { return p.trained(ctx) }},
		{"CAVs of other sentences (post-hoc)", "posthoc", func() (*mat.Dense, error) { return p.bank(ctx, l) }},
		{"embeddings of the concepts' names", "names", func() (*mat.Dense, error) { return p.names(ctx, l) }},
		{"random directions", "random", func() (*mat.Dense, error) { return randomDirections(len(c.Concepts), p.width(), c.Seed), nil }},
	} {
		v, err := b.fit()
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		row, err := p.measure(ctx, s, b.key, v)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		t.Rows = append(t.Rows, append([]any{b.name}, row...))
	}
	s.Table("metrics", t)
	s.Done("metrics")
	return nil
}

// scores are standardised projections of texts on concept vectors v [k, d], by the mean and deviation of the training texts.
func (p *planted) scores(x, v *mat.Dense) *mat.Dense {
	var train, out mat.Dense
	train.Mul(p.train.mean, v.T())
	out.Mul(x, v.T())
	n, k := out.Dims()
	for j := range k {
		mean, sd := stat.MeanStdDev(mat.Col(nil, j, &train), nil)
		for i := range n {
			out.Set(i, j, (out.At(i, j)-mean)/max(sd, 1e-12))
		}
	}
	return &out
}

// measure trains a class head on the concepts' scores and measures the bottleneck on the test texts.
func (p *planted) measure(ctx context.Context, s *study.Session, key string, v *mat.Dense) ([]any, error) {
	c := p.cfg
	z := p.scores(p.test.mean, v)
	head, err := vectors.Multinomial(ctx, p.scores(p.train.mean, v), p.train.class, 1)
	if err != nil {
		return nil, err
	}
	probability, err := head.Probabilities(z)
	if err != nil {
		return nil, err
	}
	n, k := z.Dims()
	right, importance := make([]float64, n), mat.NewDense(n, k, nil)
	for i := range n {
		said := floats.MaxIdx(probability.RawRowView(i))
		if said == p.test.class[i] {
			right[i] = 1
		}
		floats.MulTo(importance.RawRowView(i), head.Weights.RawRowView(said), z.RawRowView(i))
	}
	global, chance, err := p.global(head.Weights)
	if err != nil {
		return nil, err
	}
	exist, err := vectors.Existence(importance, p.test.present, c.Top)
	if err != nil {
		return nil, err
	}
	renamed := make([]float64, n)
	for i := range c.Permutations {
		e, err := vectors.Existence(vectors.PermuteConcepts(importance, uint64(i)), p.test.present, c.Top)
		if err != nil {
			return nil, err
		}
		floats.AddScaled(renamed, 1/float64(c.Permutations), e)
	}
	hits, share, text, err := p.location(v)
	if err != nil {
		return nil, err
	}
	row := []any{}
	for _, m := range []struct {
		name    string
		x       []float64
		cluster []int
	}{{"accuracy", right, nil}, {"cgim", global, nil}, {"", nil, nil}, {"cem", exist, nil}, {"cem_renamed", renamed, nil}, {"clm", hits, text}, {"clm_chance", share, text}} {
		if m.name == "" {
			row = append(row, chance)
			s.Value(key+".cgim_p", chance)
			continue
		}
		if m.cluster == nil {
			m.cluster = lab.UpTo(len(m.x))
		}
		var v stats.Interval
		if v, err = lab.MeanOver(ctx, m.x, m.cluster, c.Seed); err != nil {
			return nil, err
		}
		row = append(row, lab.Cell(v))
		s.Interval(key+"."+m.name, v)
	}
	return row, nil
}

// global is CGIM of every class, and the share of renamings whose mean is as large.
func (p *planted) global(weights *mat.Dense) ([]float64, float64, error) {
	byClass, _, err := vectors.GlobalImportance(weights, p.truth)
	if err != nil {
		return nil, 0, err
	}
	mean, extreme := floats.Sum(byClass), 0
	for i := range p.cfg.Permutations {
		other, _, err := vectors.GlobalImportance(vectors.PermuteConcepts(weights, uint64(i)), p.truth)
		if err != nil {
			return nil, 0, err
		}
		if floats.Sum(other) >= mean-1e-12 {
			extreme++
		}
	}
	return byClass, float64(1+extreme) / float64(1+p.cfg.Permutations), nil
}

// location is CLM of every concept that a test text holds: whether the vector's map is largest at the concept's tokens, chance,
// and the text.
func (p *planted) location(v *mat.Dense) (hits, chance []float64, text []int, err error) {
	var maps []vectors.ConceptMap
	origin := make([]float64, p.width())
	n, _ := p.train.mean.Dims()
	for i := range n {
		floats.AddScaled(origin, 1/float64(n), p.train.mean.RawRowView(i))
	}
	for i, tokens := range p.test.tokens {
		for k, inside := range p.test.inside[i] {
			if inside == nil {
				continue
			}
			m, err := vectors.ConceptMapOf(tokens, v.RawRowView(k), origin, inside)
			if err != nil {
				return nil, nil, nil, err
			}
			maps, text = append(maps, m), append(text, i)
		}
	}
	hits, chance, err = vectors.Location(maps)
	return hits, chance, text, err
}
