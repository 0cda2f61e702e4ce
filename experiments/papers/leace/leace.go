// Package leace erases a concept from a text encoder linearly, by LEACE and its rivals, and looks for what is left
// (arXiv:2306.03819).
package leace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/model"
	"loupe/vectors"
)

// Config says which concept is erased where.
type Config struct {
	study.Base
	Model        string               `json:"model" doc:"text encoder"`
	Concept      string               `json:"concept" doc:"concept of the built-in suite that is erased"`
	TrainPairs   int                  `json:"train_pairs" doc:"training sentences with a word of the concept, each with a twin without"`
	HeldOutPairs int                  `json:"held_out_pairs" doc:"pairs of held-out words and templates"`
	Layer        int                  `json:"layer" doc:"block after which the methods are compared"`
	Layers       []int                `json:"layers" doc:"blocks after which LEACE alone is looked at"`
	Methods      []string             `json:"methods" doc:"erasers that are compared"`
	Settings     vectors.MethodConfig `json:"settings" doc:"of the erasers"`
	Probes       []string             `json:"probes" doc:"probes that look for the concept afterwards"`
	Random       int                  `json:"random" doc:"random subspaces of equal rank that are removed in the concept's place"`
	Intervals    probe.IntervalConfig `json:"intervals" doc:"of the held-out scores"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "leace", Doc: "linear concept erasure: guardedness, damage, and what nonlinear probes still read (arXiv:2306.03819)", New: newConfig},
		Title: "LEACE: what linear erasure removes, what it costs and what it leaves",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{
		Base: study.Base{Name: "leace", Seed: 1}, Model: "minilm", Concept: "animals", TrainPairs: 400, HeldOutPairs: 100, Layer: 3, Layers: []int{0, 1, 2, 3, 4, 5},
		Methods:  []string{vectors.MethodLEACE, vectors.MethodMeanProjection, vectors.MethodSAL, vectors.MethodINLP, vectors.MethodRLACE},
		Settings: vectors.DefaultMethodConfig(), Intervals: probe.DefaultIntervals(),
		Probes: []string{probe.MethodLogistic, probe.MethodQuadratic, probe.MethodMLP}, Random: 1,
	}
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Methods) == 0 || c.Methods[0] != vectors.MethodLEACE {
		return fmt.Errorf("methods is %v; leace comes first: the others are compared with it", c.Methods)
	}
	if len(c.Probes) == 0 || c.Random < 1 {
		return fmt.Errorf("probes is %v and random %d; name one and use 1 or more", c.Probes, c.Random)
	}
	if c.TrainPairs < 10 || c.HeldOutPairs < 5 || len(c.Layers) == 0 {
		return fmt.Errorf("train_pairs is %d, held_out_pairs %d, layers %v; use 10, 5 and one layer or more", c.TrainPairs, c.HeldOutPairs, c.Layers)
	}
	return c.Settings.Validate()
}

// subject is the concept's sentences with the model's activations.
type subject struct {
	cfg    *Config
	lab    *lab.Lab
	text   *lab.Sentences
	others []probe.Target
	sites  []model.Site // the residual stream after each of Layers, then the sentence embedding
	x      []*mat.Dense
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	all, err := lab.ConceptSentences([]string{c.Concept}, c.TrainPairs, c.HeldOutPairs, c.Seed)
	if err != nil {
		return err
	}
	u := &subject{cfg: c, lab: l, text: all[0], others: []probe.Target{pronoun(all[0].Texts)}}
	for _, layer := range append(slices.Clone(c.Layers), c.Layer) {
		u.sites = append(u.sites, model.Site{Kind: model.ResidPost, Layer: layer})
	}
	u.sites = append(u.sites, model.Site{Kind: model.Sentence})
	if u.x, err = l.Read(ctx, u.text.Texts, u.sites, lab.MeanToken, lab.ReadOptions{}); err != nil {
		return err
	}
	s.Text("%s in %s: %d training sentences, half with a word of the concept, and %d held-out ones, whose words and templates training has not. Activations are means over a sentence's tokens.",
		c.Concept, c.Model, len(u.text.Split.Train), len(u.text.Split.Test))
	s.Done("read")
	if err := u.compare(ctx, s); err != nil {
		return err
	}
	s.Done("methods")
	defer s.Done("layers")
	return u.layers(ctx, s)
}

// pronoun is something else that sentences tell: whether one of the personal pronouns is in them.
func pronoun(texts []string) probe.Target {
	has := make([]bool, len(texts))
	for i, t := range texts {
		has[i] = slices.ContainsFunc(strings.Fields(strings.ToLower(t)), func(w string) bool {
			return slices.Contains([]string{"she", "he", "i", "they", "we", "you"}, w)
		})
	}
	return probe.NewBinary("pronoun", has)
}

// fit fits an eraser to the training rows.
func (u *subject) fit(ctx context.Context, method string, x *mat.Dense) (*vectors.Fitted, error) {
	train := u.text.Split.Train
	_, d := x.Dims()
	rows := mat.NewDense(len(train), d, nil)
	for i, r := range train {
		rows.SetRow(i, x.RawRowView(r))
	}
	return vectors.FitMethod(ctx, method, rows, vectors.Labels{Class: lab.Take(u.text.Class, train), K: 2}, u.cfg.Settings)
}

// stages are activations before the removal, after it, and with random subspaces removed.
func (u *subject) stages(ctx context.Context, f *vectors.Fitted, x *mat.Dense) ([]probe.RemovalStage, error) {
	cfg := probe.DefaultRemoval()
	cfg.Methods, cfg.Random, cfg.Intervals, cfg.Seed = nil, u.cfg.Random, u.cfg.Intervals, uint64(u.cfg.Seed)
	for _, name := range u.cfg.Probes {
		cfg.Methods = append(cfg.Methods, probe.DefaultMethod(name))
	}
	return probe.AfterRemoval(ctx, x, u.text.Target(), u.others, u.text.Group, u.text.Split, f.Eraser, f.Rank, cfg)
}

// accuracy of the probe of one method at a stage.
func accuracy(stage probe.RemovalStage, method string) stats.Interval {
	for _, p := range stage.Concept {
		if p.Method == method {
			return p.Accuracy
		}
	}
	return stats.Interval{}
}

// compare holds the methods against each other at one layer.
func (u *subject) compare(ctx context.Context, s *study.Session) error {
	x := u.x[len(u.cfg.Layers)]
	t := report.Table{
		Caption: fmt.Sprintf("%s erased after block %d; held-out accuracies of probes that were fitted again (chance 0.5)", u.cfg.Concept, u.cfg.Layer),
		Columns: []report.Column{{Name: "removed"}, {Name: "rank"}, {Name: "moved", Doc: "mean squared distance over the variance"}, {Name: "loss gain", Unit: "nats", Doc: "of the best linear classifier of the fitted rows over a constant"}},
	}
	for _, name := range u.cfg.Probes {
		t.Columns = append(t.Columns, report.Column{Name: name})
	}
	t.Columns = append(t.Columns, report.Column{Name: "pronoun", Doc: "accuracy of a linear probe of something else"})
	row := func(name string, rank int, stage probe.RemovalStage) {
		cells := []any{name, rank, stage.Change.Share, stage.LossGain}
		for _, name := range u.cfg.Probes {
			cells = append(cells, lab.Cell(accuracy(stage, name)))
		}
		t.Rows = append(t.Rows, append(cells, lab.Cell(stage.Others[0].Accuracy)))
	}
	leace := 0.0 // how far LEACE moves rows
	for i, method := range u.cfg.Methods {
		f, err := u.fit(ctx, method, x)
		if err != nil {
			return err
		}
		stages, err := u.stages(ctx, f, x)
		if err != nil {
			return err
		}
		if i == 0 {
			row("nothing", 0, stages[0])
			u.numbers(s, "before", stages[0])
			row(fmt.Sprintf("random subspace, rank %d", f.Rank), f.Rank, stages[2])
			u.numbers(s, "random", stages[2])
		}
		row(method, f.Rank, stages[1])
		name := strings.ReplaceAll(method, "-", "_")
		u.numbers(s, name, stages[1])
		if i == 0 {
			leace = stages[1].Change.Share
		} else {
			s.Value("damage.leace_over_"+name, leace/stages[1].Change.Share)
		}
	}
	s.Table("methods", t)
	return nil
}

func (u *subject) numbers(s *study.Session, name string, stage probe.RemovalStage) {
	s.Value(name+".loss_gain", stage.LossGain)
	s.Value(name+".largest_weight", stage.LargestWeight)
	s.Value(name+".moved", stage.Change.Share)
	for _, p := range u.cfg.Probes {
		s.Interval(name+"."+p, accuracy(stage, p))
	}
	s.Interval(name+".pronoun", stage.Others[0].Accuracy)
}

// layers erases by LEACE after each block, and looks at the sentence embedding that the model goes on to compute.
func (u *subject) layers(ctx context.Context, s *study.Session) error {
	t := report.Table{
		Caption: "LEACE after each block: held-out accuracies there, and of a fresh linear probe of the sentence embedding that the model computes from the erased stream",
		Columns: []report.Column{{Name: "block"}, {Name: "linear before"}, {Name: "linear after"}, {Name: "quadratic after"}, {Name: "embedding, nothing erased"}, {Name: "embedding, erased"}, {Name: "embedding, random erased"}},
	}
	linear := probe.DefaultMethod(probe.MethodLogistic)
	quadratic := probe.DefaultMethod(probe.MethodQuadratic)
	clean, err := u.held(ctx, u.x[len(u.x)-1], linear)
	if err != nil {
		return err
	}
	for i, layer := range u.cfg.Layers {
		f, err := u.fit(ctx, vectors.MethodLEACE, u.x[i])
		if err != nil {
			return err
		}
		random, err := vectors.RandomProjection(u.lab.Model.Spec.DModel, f.Rank, uint64(u.cfg.Seed))
		if err != nil {
			return err
		}
		after, err := f.Eraser.Apply(u.x[i])
		if err != nil {
			return err
		}
		cells := []any{layer}
		for _, c := range []struct {
			x *mat.Dense
			m probe.Method
		}{{u.x[i], linear}, {after, linear}, {after, quadratic}} {
			got, err := u.held(ctx, c.x, c.m)
			if err != nil {
				return err
			}
			cells = append(cells, lab.Cell(got))
			if c.m.Name == probe.MethodQuadratic {
				s.Interval(fmt.Sprintf("layer%d.quadratic", layer), got)
			}
		}
		cells = append(cells, lab.Cell(clean))
		for _, c := range []struct {
			name string
			e    *vectors.Eraser
		}{{"erased", f.Eraser}, {"random", random}} {
			got, err := u.downstream(ctx, c.e, u.sites[i], linear)
			if err != nil {
				return err
			}
			s.Interval(fmt.Sprintf("layer%d.embedding_%s", layer, c.name), got)
			cells = append(cells, lab.Cell(got))
		}
		t.Rows = append(t.Rows, cells)
	}
	s.Table("layers", t)
	return nil
}

// downstream is the held-out accuracy of a probe of the sentence embedding while the model runs with the eraser.
func (u *subject) downstream(ctx context.Context, e *vectors.Eraser, site model.Site, m probe.Method) (stats.Interval, error) {
	embedding := u.sites[len(u.sites)-1]
	x, err := u.lab.Read(ctx, u.text.Texts, []model.Site{embedding}, lab.MeanToken, lab.ReadOptions{Edit: func(batch, seq int) (*vectors.Edit, error) {
		return e.Edit(u.lab.Model.Spec, site, batch, seq, 1)
	}})
	if err != nil {
		return stats.Interval{}, err
	}
	return u.held(ctx, x[0], m)
}

// held is the held-out accuracy of a probe.
func (u *subject) held(ctx context.Context, x *mat.Dense, m probe.Method) (stats.Interval, error) {
	rows, err := probe.RowsOf(x)
	if err != nil {
		return stats.Interval{}, err
	}
	target, split := u.text.Target(), u.text.Split
	fits, err := m.Fit(ctx, rows.Take(split.Train), []probe.Target{target.Take(split.Train)}, lab.Take(u.text.Group, split.Train), uint64(u.cfg.Seed))
	if err != nil {
		return stats.Interval{}, err
	}
	scores, err := fits[0].Scores(rows.Take(split.Test))
	if err != nil {
		return stats.Interval{}, err
	}
	got, err := probe.Evaluate(ctx, target.Take(split.Test), scores, lab.Take(u.text.Group, split.Test), u.cfg.Intervals, uint64(u.cfg.Seed))
	return got.Accuracy, err
}
