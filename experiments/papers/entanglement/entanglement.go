// Package entanglement asks whether the similarity of concept vectors tells what else changes when one of them is removed
// (arXiv:2511.14017).
package entanglement

import (
	"context"
	"fmt"

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

// Config says which concepts are compared and removed where.
type Config struct {
	study.Base
	Model        string   `json:"model" doc:"language model"`
	Concepts     []string `json:"concepts" doc:"concepts of the built-in suite with words that can be listed"`
	Sentences    int      `json:"sentences" doc:"sentences of each concept that its vector is the mean of"`
	Neutral      int      `json:"neutral" doc:"neutral sentences"`
	Skip         int      `json:"skip" doc:"first tokens of a sentence that its activation leaves out: they hold the attention sink"`
	Layers       []int    `json:"layers" doc:"blocks after which vectors are compared"`
	Ablate       int      `json:"ablate" doc:"block after which a concept's vector is removed, at every token"`
	Clozes       int      `json:"clozes" doc:"lists of each concept's words to be continued"`
	Random       int      `json:"random" doc:"random directions that are removed as the control"`
	Permutations int      `json:"permutations" doc:"of the similarities' and the correlations' nulls"`
	Resamples    int      `json:"resamples" doc:"bootstrap resamples of the similarities"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "entanglement", Doc: "similarity of concept vectors over layers, and what removing one does to the others (arXiv:2511.14017)", New: func() any {
			return &Config{
				Base: study.Base{Name: "entanglement", Seed: 1}, Model: "smollm2", Concepts: []string{"animals", "plants", "food", "clothing", "music", "sport", "weather", "family"},
				Sentences: 40, Neutral: 40, Skip: 4, Layers: []int{2, 8, 14, 20}, Ablate: 8, Clozes: 6, Random: 3, Permutations: 999, Resamples: 300,
			}
		}},
		Title: "Entanglement: does the similarity of concepts tell what else changes when one is removed?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Concepts) < 3 || len(c.Layers) == 0 || c.Sentences < 4 || c.Neutral < 4 || c.Clozes < 2 || c.Random < 1 {
		return fmt.Errorf("%d concepts, layers %v, sentences %d, neutral %d, clozes %d, random %d; use 3, one, 4, 4, 2 and 1 or more", len(c.Concepts), c.Layers, c.Sentences, c.Neutral, c.Clozes, c.Random)
	}
	return nil
}

// subject is the model with the concepts' activations.
type subject struct {
	cfg     *Config
	lab     *lab.Lab
	concept []int        // of each row: 0 neutral, 1..k
	x       []*mat.Dense // at each of Layers, then at Ablate
	clozes  []vectors.Cloze
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	u := &subject{cfg: c, lab: l}
	if err := u.read(ctx); err != nil {
		return err
	}
	s.Done("read")
	table, err := u.similarity(ctx, s)
	if err != nil {
		return err
	}
	s.Done("similarity")
	change, err := u.ablations(ctx, s)
	if err != nil {
		return err
	}
	s.Done("ablations")
	defer s.Done("prediction")
	return u.predict(ctx, s, table, change)
}

// read captures neutral sentences and each concept's, and makes the clozes.
func (u *subject) read(ctx context.Context) error {
	c := u.cfg
	texts, err := text.Neutral(c.Seed, c.Neutral)
	if err != nil {
		return err
	}
	u.concept = make([]int, len(texts))
	all, err := lab.ConceptSentences(c.Concepts, c.Sentences, 2, c.Seed)
	if err != nil {
		return err
	}
	for k, of := range all {
		for _, r := range of.Split.Train {
			if of.Class[r] == 1 {
				texts, u.concept = append(texts, of.Texts[r]), append(u.concept, k+1)
			}
		}
		clozes, err := lab.ListClozes(u.lab.Tokenizer, of.Concept, c.Clozes, c.Seed)
		if err != nil {
			return err
		}
		u.clozes = append(u.clozes, clozes...)
	}
	var sites []model.Site
	for _, layer := range append(append([]int{}, c.Layers...), c.Ablate) {
		sites = append(sites, model.Site{Kind: model.ResidPost, Layer: layer})
	}
	u.x, err = u.lab.Read(ctx, texts, sites, lab.MeanToken, lab.ReadOptions{Skip: c.Skip})
	return err
}

// similarity compares the concepts' vectors at every layer.
func (u *subject) similarity(ctx context.Context, s *study.Session) (*vectors.EntanglementTable, error) {
	c := u.cfg
	cfg := vectors.DefaultEntanglement()
	cfg.Permutations, cfg.Seed, cfg.Bootstrap = c.Permutations, uint64(c.Seed), lab.Bootstrap(c.Seed)
	cfg.Bootstrap.Resamples = c.Resamples
	table, err := vectors.Entanglement(ctx, u.x[:len(c.Layers)], u.concept, cfg)
	if err != nil {
		return nil, err
	}
	t := report.Table{
		Caption: fmt.Sprintf("Cosines of concept vectors (mean of %d sentences less that of %d neutral ones), over all pairs of a block; P of %d shufflings, BH over all pairs and blocks", c.Sentences, c.Neutral, c.Permutations),
		Columns: []report.Column{{Name: "block"}, {Name: "mean cosine"}, {Name: "least"}, {Name: "largest"}, {Name: "the most similar pair"}, {Name: "pairs with BH at 0.05"}},
	}
	significant := 0
	for i, layer := range c.Layers {
		sum, n, hits := 0.0, 0, 0
		low, high := 1.0, -1.0
		var most vectors.Entangled
		for _, p := range table.Pairs {
			if p.Layer != i {
				continue
			}
			sum, n, low = sum+p.Cosine.Value, n+1, min(low, p.Cosine.Value)
			if p.Cosine.Value > high {
				high, most = p.Cosine.Value, p
			}
			if p.BH <= 0.05 {
				hits++
			}
		}
		significant += hits
		t.Rows = append(t.Rows, []any{layer, sum / float64(n), low, lab.Cell(most.Cosine), c.Concepts[most.A] + " and " + c.Concepts[most.B], fmt.Sprintf("%d of %d", hits, n)})
		s.Value(fmt.Sprintf("cosine.block%d", layer), sum/float64(n))
	}
	s.Table("similarity", t)
	s.Value("similarity.significant", float64(significant)/float64(len(table.Pairs)))
	return table, nil
}

// ablations removes each concept's vector in turn, about the neutral mean, and returns the change of log p of every concept's
// clozes: change[a][b][i] is cloze i of concept b without concept a.
func (u *subject) ablations(ctx context.Context, s *study.Session) ([][][]float64, error) {
	c := u.cfg
	x := u.x[len(c.Layers)]
	k := len(c.Concepts)
	neutral := meanOf(x, u.concept, 0)
	clean, err := u.score(ctx, nil)
	if err != nil {
		return nil, err
	}
	removed := func(direction []float64) ([][]float64, error) {
		e, err := vectors.AblationAbout(mat.NewDense(1, len(direction), direction), neutral)
		if err != nil {
			return nil, err
		}
		after, err := u.score(ctx, e)
		if err != nil {
			return nil, err
		}
		out := make([][]float64, k)
		for i := range after {
			out[i/c.Clozes] = append(out[i/c.Clozes], after[i]-clean[i])
		}
		return out, nil
	}
	change := make([][][]float64, k)
	for a := range k {
		direction := meanOf(x, u.concept, a+1)
		for j, m := range neutral {
			direction[j] -= m
		}
		if change[a], err = removed(direction); err != nil {
			return nil, err
		}
	}
	random := make([][][]float64, c.Random)
	for i := range random {
		e, err := vectors.RandomProjection(u.lab.Model.Spec.DModel, 1, uint64(c.Seed)+uint64(i))
		if err != nil {
			return nil, err
		}
		if random[i], err = removed(append([]float64{}, e.Right.RawRowView(0)...)); err != nil {
			return nil, err
		}
	}
	return change, u.reportAblations(ctx, s, change, random)
}

// score is log p of every cloze with an eraser in the model, nil for none.
func (u *subject) score(ctx context.Context, e *vectors.Eraser) ([]float64, error) {
	edit := func(batch, seq int) (*vectors.Edit, error) {
		return e.Edit(u.lab.Model.Spec, model.Site{Kind: model.ResidPost, Layer: u.cfg.Ablate}, batch, seq, 1)
	}
	if e == nil {
		edit = nil
	}
	return vectors.LogLikelihoods(ctx, u.lab.Engine, u.lab.Model, nil, u.clozes, 24, edit)
}

// meanOf is the mean row of a concept.
func meanOf(x *mat.Dense, concept []int, of int) []float64 {
	_, d := x.Dims()
	out, n := make([]float64, d), 0
	for i, c := range concept {
		if c == of {
			n++
			for j, v := range x.RawRowView(i) {
				out[j] += v
			}
		}
	}
	for j := range out {
		out[j] /= float64(n)
	}
	return out
}

func (u *subject) reportAblations(ctx context.Context, s *study.Session, change, random [][][]float64) error {
	c := u.cfg
	t := report.Table{
		Caption: fmt.Sprintf("Mean change of log p (nats) of each concept's %d lists (columns) when a concept's vector (rows) is removed after block %d", c.Clozes, c.Ablate),
		Columns: []report.Column{{Name: "removed"}},
	}
	for _, name := range c.Concepts {
		t.Columns = append(t.Columns, report.Column{Name: name})
	}
	var own, others, controls []float64
	var ownOf, othersOf, controlsOf []int // cluster: the concept whose lists they are
	add := func(name string, rows [][]float64, a int) {
		cells := []any{name}
		for b, of := range rows {
			cells = append(cells, mean(of))
			for _, v := range of {
				switch {
				case a == b:
					own, ownOf = append(own, v), append(ownOf, b)
				case a >= 0:
					others, othersOf = append(others, v), append(othersOf, b)
				default:
					controls, controlsOf = append(controls, v), append(controlsOf, b)
				}
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	for a, rows := range change {
		add(c.Concepts[a], rows, a)
	}
	for i, rows := range random {
		add(fmt.Sprintf("random %d", i+1), rows, -1)
	}
	s.Table("ablations", t)
	for _, of := range []struct {
		name string
		x    []float64
		g    []int
	}{{"own", own, ownOf}, {"others", others, othersOf}, {"random", controls, controlsOf}} {
		i, err := lab.MeanOver(ctx, of.x, of.g, c.Seed)
		if err != nil {
			return err
		}
		s.Interval("change."+of.name, i)
	}
	return nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// predict correlates the similarity of concepts a and b at each layer with the change of b's clozes without a.
func (u *subject) predict(ctx context.Context, s *study.Session, table *vectors.EntanglementTable, change [][][]float64) error {
	c := u.cfg
	k := len(c.Concepts)
	t := report.Table{
		Caption: fmt.Sprintf("Rank correlation of cosine(a, b) with the fall of b's lists when a is removed, over %d ordered pairs; P of %d relabellings of the concepts; intervals draw removed concepts", k*(k-1), c.Permutations),
		Columns: []report.Column{{Name: "block"}, {Name: "Spearman"}, {Name: "P"}},
	}
	fall := mat.NewDense(k, k, nil)
	for a := range k {
		for b := range k {
			fall.Set(a, b, -mean(change[a][b]))
		}
	}
	for i, layer := range c.Layers {
		r, err := relation(ctx, table.Matrices[i], fall, c.Permutations, c.Seed)
		if err != nil {
			return fmt.Errorf("block %d: %w", layer, err)
		}
		t.Rows = append(t.Rows, []any{layer, lab.Cell(r.rho), r.p})
		s.Interval(fmt.Sprintf("spearman.block%d", layer), r.rho)
		s.Value(fmt.Sprintf("spearman.block%d_p", layer), r.p)
	}
	s.Table("prediction", t)
	return nil
}

// related is a rank correlation over the ordered pairs of different concepts.
type related struct {
	rho stats.Interval
	p   float64 // of as large a correlation where concepts are relabelled
}

// relation correlates similarity [k, k] with fall [k, k] off the diagonal. Pairs share concepts, so that the test relabels
// concepts in one of the two (Mantel), and the interval draws whole rows.
func relation(ctx context.Context, similarity mat.Matrix, fall *mat.Dense, permutations int, seed int64) (related, error) {
	k, _ := fall.Dims()
	var a []float64
	var row []int
	var pairs [][2]int
	for i := range k {
		for j := range k {
			if i != j {
				a, row, pairs = append(a, similarity.At(i, j)), append(row, i), append(pairs, [2]int{i, j})
			}
		}
	}
	spearman := func(order []int, index []int) float64 {
		var x, y []float64
		for _, i := range index {
			p := pairs[i]
			x, y = append(x, a[i]), append(y, fall.At(order[p[0]], order[p[1]]))
		}
		c, err := stats.Spearman(x, y)
		if err != nil { // a resample without differences has no trend
			return 0
		}
		return c.R
	}
	identity, all := lab.UpTo(k), lab.UpTo(len(pairs))
	test, err := stats.PermutePairing(ctx, k, func(order []int) float64 { return spearman(order, all) }, stats.PermutationConfig{Resamples: permutations, Seed: uint64(seed)})
	if err != nil {
		return related{}, err
	}
	rho, err := stats.BootstrapClusters(ctx, row, func(index []int) float64 { return spearman(identity, index) }, lab.Bootstrap(seed))
	return related{rho.Interval, test.P}, err
}
