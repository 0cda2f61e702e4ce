// Package tcav tests which concepts move a text classifier, with a test that keeps its level (arXiv:1711.11279).
package tcav

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/vectors"
)

// Config says which concepts are held against which classes.
type Config struct {
	study.Base
	Model        string   `json:"model" doc:"sentence encoder"`
	Classes      []string `json:"classes" doc:"concepts of the built-in suite that a head on the sentence embedding is trained to tell"`
	Concepts     []string `json:"concepts" doc:"concepts whose vectors are tested; those that are classes are the planted cases"`
	Layers       []int    `json:"layers" doc:"blocks after which the vectors lie"`
	Pairs        int      `json:"pairs" doc:"sentence pairs of a concept's vector"`
	Examples     int      `json:"examples" doc:"sentences of a class, none of them among the pairs, whose loss is differentiated"`
	HeadPairs    int      `json:"head_pairs" doc:"sentence pairs that a class's head is trained on"`
	Permutations int      `json:"permutations" doc:"shufflings of the labels in each test"`
	Random       int      `json:"random" doc:"random concepts: sets of neutral sentences"`
	RandomRows   int      `json:"random_rows" doc:"sentences of a random set"`
	Runs         int      `json:"runs" doc:"vectors of a concept in the published test, each against another random set"`
	C            float64  `json:"c" doc:"weight of the squared hinge"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "tcav", Doc: "concept activation vectors: held-out gate, permutation null, Holm and BH beside the published t-test (arXiv:1711.11279)", New: func() any {
			return &Config{
				Base: study.Base{Name: "tcav", Seed: 1}, Model: "minilm", Classes: []string{"animals", "food", "music"}, Concepts: []string{"animals", "food", "music", "negation"},
				Layers: []int{2, 4}, Pairs: 30, Examples: 40, HeadPairs: 100, Permutations: 599, Random: 60, RandomRows: 30, Runs: 10, C: 0.1,
			}
		}},
		Title: "TCAV: which concepts move a class, tested at the level that it claims",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case len(c.Classes) == 0 || len(c.Concepts) == 0 || len(c.Layers) == 0:
		return fmt.Errorf("classes is %v, concepts %v, layers %v; name one of each or more", c.Classes, c.Concepts, c.Layers)
	case c.Pairs < 4 || c.Examples < 2 || c.HeadPairs < 4 || c.Random < 5 || c.RandomRows < 4 || c.Runs < 3:
		return fmt.Errorf("pairs is %d, examples %d, head_pairs %d, random %d, random_rows %d, runs %d; use 4, 2, 4, 5, 4 and 3 or more", c.Pairs, c.Examples, c.HeadPairs, c.Random, c.RandomRows, c.Runs)
	}
	return vectors.TCAVConfig{C: c.C, Permutations: c.Permutations}.Validate()
}

// subject is the model with what the tests need.
type subject struct {
	cfg       *Config
	lab       *lab.Lab
	sites     []model.Site
	gradients map[string][]*mat.Dense // by class, at each site: of the class's loss, one row an example
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	u := &subject{cfg: c, lab: l, gradients: map[string][]*mat.Dense{}}
	for _, layer := range c.Layers {
		u.sites = append(u.sites, model.Site{Kind: model.ResidPost, Layer: layer})
	}
	classes, err := lab.ConceptSentences(c.Classes, c.HeadPairs, c.Examples, c.Seed)
	if err != nil {
		return err
	}
	for _, class := range classes {
		head, err := u.head(ctx, class)
		if err != nil {
			return err
		}
		var examples []string
		for _, r := range class.Split.Test {
			if class.Class[r] == 1 {
				examples = append(examples, class.Texts[r])
			}
		}
		if u.gradients[class.Concept], err = lossGradients(ctx, l, examples, u.sites, head); err != nil {
			return err
		}
	}
	s.Done("gradients")
	if err := u.concepts(ctx, s); err != nil {
		return err
	}
	s.Done("concepts")
	defer s.Done("random")
	return u.random(ctx, s)
}

// head is the class's linear head on the sentence embedding, fitted to the training sentences.
func (u *subject) head(ctx context.Context, class *lab.Sentences) ([]float64, error) {
	var texts []string
	for _, r := range class.Split.Train {
		texts = append(texts, class.Texts[r])
	}
	x, err := u.lab.Read(ctx, texts, []model.Site{{Kind: model.Sentence}}, lab.MeanToken, lab.ReadOptions{})
	if err != nil {
		return nil, err
	}
	fit, err := vectors.Logistic(ctx, x[0], lab.Take(class.Class, class.Split.Train), 10)
	return fit.Weights, err
}

// tested is one concept at one site against one class.
type tested struct {
	concept, class string
	layer          int
	cav            *vectors.CAV
	test           *vectors.TCAVTest
	score, size    vectors.Adjusted
}

// concepts tests every concept at every site against every class.
func (u *subject) concepts(ctx context.Context, s *study.Session) error {
	all, err := lab.ConceptSentences(u.cfg.Concepts, u.cfg.Pairs, 2, u.cfg.Seed) // a word is in the same split for every draw: the examples' words are not among these
	if err != nil {
		return err
	}
	var rows []tested
	for _, concept := range all {
		texts, y := make([]string, len(concept.Split.Train)), lab.Take(concept.Class, concept.Split.Train)
		for i, r := range concept.Split.Train {
			texts[i] = concept.Texts[r]
		}
		x, err := u.lab.Read(ctx, texts, u.sites, lab.MeanToken, lab.ReadOptions{})
		if err != nil {
			return err
		}
		for i, site := range u.sites {
			gate := vectors.DefaultCAV()
			gate.C, gate.Seed = u.cfg.C, uint64(u.cfg.Seed)
			cav, err := vectors.FitCAV(ctx, x[i], y, gate)
			if err != nil {
				return err
			}
			for _, class := range u.cfg.Classes {
				test, err := vectors.TCAV(ctx, x[i], y, u.gradients[class][i], vectors.TCAVConfig{C: u.cfg.C, Permutations: u.cfg.Permutations, Seed: uint64(u.cfg.Seed)})
				if err != nil {
					return err
				}
				rows = append(rows, tested{concept: concept.Concept, class: class, layer: site.Layer, cav: cav, test: test})
			}
		}
	}
	if err := adjust(rows); err != nil {
		return err
	}
	u.report(s, rows)
	return nil
}

// adjust corrects both p-values over the whole table.
func adjust(rows []tested) error {
	score, err := vectors.AdjustP(lab.Column(rows, func(r tested) float64 { return r.test.P }))
	if err != nil {
		return err
	}
	size, err := vectors.AdjustP(lab.Column(rows, func(r tested) float64 { return r.test.SensitivityP }))
	for i := range rows {
		rows[i].score, rows[i].size = score[i], size[i]
	}
	return err
}

func (u *subject) report(s *study.Session, rows []tested) {
	t := report.Table{
		Caption: fmt.Sprintf("Concepts against classes: %d sentences a vector, %d examples a class, %d permutations; Holm and BH over all %d tests", 2*u.cfg.Pairs, u.cfg.Examples, u.cfg.Permutations, len(rows)),
		Columns: []report.Column{{Name: "concept"}, {Name: "class"}, {Name: "block"}, {Name: "held-out accuracy"}, {Name: "score"}, {Name: "p"}, {Name: "Holm"}, {Name: "sensitivity"}, {Name: "p of it"}, {Name: "Holm of it"}, {Name: "BH of it"}},
	}
	var gate, planted, bySize, byScore, others, othersBySize, score float64
	for _, r := range rows {
		t.Rows = append(t.Rows, []any{r.concept, r.class, r.layer, lab.Cell(r.cav.HeldOut), r.test.Score, r.test.P, r.score.Holm, r.test.Sensitivity, r.test.SensitivityP, r.size.Holm, r.size.BH})
		if r.cav.Separates {
			gate++
		}
		found := r.size.Holm <= 0.05 && r.test.Sensitivity > 0 && r.cav.Separates
		if r.concept != r.class {
			others++
			if r.size.BH <= 0.05 {
				othersBySize++
			}
			continue
		}
		planted++
		score += r.test.Score
		if found {
			bySize++
		}
		if r.score.Holm <= 0.05 && r.test.Score > 0.5 {
			byScore++
		}
	}
	s.Table("concepts", t)
	s.Value("gate.concepts", gate/float64(len(rows)))
	if planted > 0 {
		s.Value("planted.score", score/planted)
		s.Value("planted.found_by_sensitivity", bySize/planted)
		s.Value("planted.found_by_score", byScore/planted)
	}
	if others > 0 {
		s.Value("others.found_by_sensitivity", othersBySize/others)
	}
}

// random tests concepts that are none: halves of neutral sentences. Beside the permutation tests stands the published one.
func (u *subject) random(ctx context.Context, s *study.Session) error {
	const sets = 20 // that random sets and concepts are drawn from, in units of a set
	neutral, err := text.Neutral(u.cfg.Seed, sets*u.cfg.RandomRows)
	if err != nil {
		return err
	}
	x, err := u.lab.Read(ctx, neutral, u.sites[:1], lab.MeanToken, lab.ReadOptions{})
	if err != nil {
		return err
	}
	gradients := u.gradients[u.cfg.Classes[0]][0]
	rng := rand.New(rand.NewPCG(uint64(u.cfg.Seed), 0x74636176)) // "tcav"
	draw := func(avoid []int) []int {
		var out []int
		for _, i := range rng.Perm(len(neutral)) {
			if len(out) < u.cfg.RandomRows && !slices.Contains(avoid, i) {
				out = append(out, i)
			}
		}
		return out
	}
	base, err := u.scores(ctx, x[0], gradients, draw, nil)
	if err != nil {
		return err
	}
	var score, size []float64
	gated, welch := 0, 0
	for i := range u.cfg.Random {
		a := draw(nil)
		rows, y := joined(x[0], a, draw(a))
		cfg := vectors.TCAVConfig{C: u.cfg.C, Permutations: 39, Seed: uint64(i)}
		test, err := vectors.TCAV(ctx, rows, y, gradients, cfg)
		if err != nil {
			return err
		}
		score, size = append(score, test.P), append(size, test.SensitivityP)
		gate := vectors.DefaultCAV()
		gate.C, gate.Seed = u.cfg.C, uint64(i)
		cav, err := vectors.FitCAV(ctx, rows, y, gate)
		if err != nil {
			return err
		}
		if cav.Separates {
			gated++
		}
		runs, err := u.scores(ctx, x[0], gradients, draw, a)
		if err != nil {
			return err
		}
		if published(runs, base) {
			welch++
		}
	}
	return u.reportRandom(s, score, size, gated, welch)
}

// scores of the published test: Runs vectors of one set (nil: another random one each time) against random sets.
func (u *subject) scores(ctx context.Context, x, gradients *mat.Dense, draw func([]int) []int, set []int) ([]float64, error) {
	var out []float64
	for range u.cfg.Runs {
		a := set
		if a == nil {
			a = draw(nil)
		}
		rows, y := joined(x, a, draw(a))
		test, err := vectors.TCAVFrom(ctx, rows, y, gradients, u.cfg.C, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, test.Score)
	}
	return out, nil
}

// published tells whether the two-sample t-test of the paper calls a concept significant at 0.05. Where all scores are equal
// there is no difference.
func published(runs, base []float64) bool {
	t, err := stats.Welch(runs, base)
	return err == nil && t.P <= 0.05
}

func joined(x *mat.Dense, a, b []int) (*mat.Dense, []int) {
	_, d := x.Dims()
	rows, y := mat.NewDense(len(a)+len(b), d, nil), make([]int, len(a)+len(b))
	for i, r := range append(slices.Clone(a), b...) {
		rows.SetRow(i, x.RawRowView(r))
		if i < len(a) {
			y[i] = 1
		}
	}
	return rows, y
}

// reportRandom says how often each test finds a concept where there is none.
func (u *subject) reportRandom(s *study.Session, score, size []float64, gated, welch int) error {
	n := len(score)
	uniform := make([]float64, n)
	for i := range uniform {
		uniform[i] = (float64(i) + 0.5) / float64(n)
	}
	below := func(p []float64) (count int) {
		for _, v := range p {
			if v <= 0.05 {
				count++
			}
		}
		return count
	}
	t := report.Table{
		Caption: fmt.Sprintf("%d random concepts, sets of %d neutral sentences after block %d: the share that each test calls significant at 0.05", n, u.cfg.RandomRows, u.cfg.Layers[0]),
		Columns: []report.Column{{Name: "test"}, {Name: "share"}, {Name: "KS distance of its p-values from uniform"}, {Name: "p of that"}},
	}
	for _, c := range []struct {
		name, key string
		count     int
		p         []float64
	}{
		{"permutation, score", "null.score", below(score), score}, {"permutation, sensitivity", "null.sensitivity", below(size), size},
		{fmt.Sprintf("published t-test, %d runs", u.cfg.Runs), "null.published", welch, nil}, {"held-out gate", "null.gate", gated, nil},
	} {
		share, err := stats.Wilson(c.count, n, lab.Level)
		if err != nil {
			return err
		}
		s.Interval(c.key, share)
		row := []any{c.name, lab.Cell(share), nil, nil}
		if c.p != nil {
			ks, err := stats.KolmogorovSmirnov(c.p, uniform)
			if err != nil {
				return err
			}
			row[2], row[3] = ks.D, ks.P
			s.Value(c.key+"_ks_p", ks.P)
		}
		t.Rows = append(t.Rows, row)
	}
	s.Table("random", t)
	return nil
}
