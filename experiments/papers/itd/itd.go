// Package itd erases concepts by the features of a sparse autoencoder behind a gate (arXiv:2503.09446): how well the gate tells the
// concept's prompts, what strength it takes, and what each published choice is worth.
package itd

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says what is erased, by which autoencoder, and what is varied.
type Config struct {
	study.Base
	Model     string           `json:"model" doc:"text encoder"`
	Eval      evaluate.Config  `json:"eval" doc:"what is erased and how it is measured"`
	ITD       method.ITDConfig `json:"itd" doc:"settings that the others are compared with"`
	Strengths []float64        `json:"strengths" doc:"other strengths, with the autoencoder's error kept: at 0 the error alone would be as large as what the features change, and no gate could tell"`
	Tops      []int            `json:"tops" doc:"other numbers of top features of a prompt"`
	Padded    int              `json:"padded" doc:"tokens to which texts are padded for the published statistic"`
	Rounds    int              `json:"rounds" doc:"timings of the encoder with and without the hook, one after the other"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "itd", Doc: "Interpret then Deactivate: an autoencoder's features behind a gate, in a text encoder (arXiv:2503.09446)", New: newConfig},
		Title: "ItD: a concept's autoencoder features, deactivated behind a gate",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	m, err := method.Find("itd")
	if err != nil {
		panic(err)
	}
	c := &Config{Base: study.Base{Name: "itd", Seed: 1}, Model: "minilm", Eval: evaluate.DefaultConfig(), ITD: *m.Config().(*method.ITDConfig),
		Strengths: []float64{0, -1, -4}, Tops: []int{4, 64}, Padded: 32, Rounds: 9}
	c.Eval.Task.Erase = []string{"dog", "church", "boat"}
	c.Eval.Generated, c.Eval.Together, c.Eval.Probe = 0, nil, false
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if err := c.Eval.Validate(); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	if err := c.ITD.Validate(); err != nil {
		return fmt.Errorf("itd: %w", err)
	}
	if len(c.Eval.Task.Erase) == 0 || c.Padded < 1 || c.Rounds < 1 {
		return fmt.Errorf("eval.task.erase is %v, padded %d, rounds %d; name concepts, and use 1 or more", c.Eval.Task.Erase, c.Padded, c.Rounds)
	}
	return nil
}

// subject is the encoder with its autoencoder.
type subject struct {
	c     *Config
	s     *study.Session
	e     *encoder.Encoder
	tasks []*method.Task // one for each erased concept
	seed  int64
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	e, err := compare.Open(ctx, s, c.Model, "")
	if err != nil {
		return err
	}
	c.Eval.Task.Seed = c.Seed
	if c.ITD.Dictionary.Cache == "" {
		c.ITD.Dictionary.Cache = filepath.Join(s.Stores, "dictionaries")
	}
	u := &subject{c: c, s: s, e: e, seed: c.Seed}
	for _, name := range c.Eval.Task.Erase {
		cfg := c.Eval.Task
		cfg.Erase = []string{name}
		t, err := method.NewTask(cfg)
		if err != nil {
			return err
		}
		u.tasks = append(u.tasks, t)
	}
	if err := u.dictionary(ctx); err != nil {
		return err
	}
	s.Done("autoencoder")
	if err := u.rows(ctx); err != nil {
		return err
	}
	if err := u.gates(ctx); err != nil {
		return err
	}
	s.Done("gates")
	defer s.Done("speed")
	return u.speed(ctx)
}

// dictionary trains the autoencoder and measures it on texts that it was not trained on.
func (u *subject) dictionary(ctx context.Context) error {
	coder, err := new(method.Dictionaries).Open(ctx, u.e, u.c.ITD.Dictionary, u.seed)
	if err != nil {
		return err
	}
	t := report.Table{Caption: "The autoencoder on texts that it was not trained on", Columns: []report.Column{{Name: "texts"}, {Name: "tokens"}, {Name: "FVU"}, {Name: "L0"}}}
	var prompts []string
	for _, c := range u.tasks[0].Concepts() {
		prompts = append(prompts, c.Held...)
	}
	for _, set := range []struct {
		name  string
		texts []string
	}{{"held-out prompts", prompts}, {"ordinary sentences", u.tasks[0].HeldOut}} {
		states, err := u.e.StatesAt(ctx, nil, u.c.ITD.Dictionary.At(u.e), set.texts)
		if err != nil {
			return err
		}
		x := method.Rows(states)
		z, err := coder.Encode(x)
		if err != nil {
			return err
		}
		y, err := coder.Decode(z)
		if err != nil {
			return err
		}
		n, d := x.Dims()
		lost, variance, active := 0.0, 0.0, 0
		for j := range d {
			mean := 0.0
			for i := range n {
				mean += x.At(i, j) / float64(n)
			}
			for i := range n {
				lost += math.Pow(x.At(i, j)-y.At(i, j), 2)
				variance += math.Pow(x.At(i, j)-mean, 2)
			}
		}
		for _, index := range z.Index {
			active += len(index)
		}
		t.Rows = append(t.Rows, []any{set.name, n, lost / variance, float64(active) / float64(n)})
		u.s.Value("fvu."+strings.ReplaceAll(strings.ReplaceAll(set.name, "-", "_"), " ", "_"), lost/variance)
	}
	u.s.Text("%s: %d features of the states after block %d of %d, trained once for all concepts.", u.c.Model, coder.Features(), u.c.ITD.Dictionary.At(u.e), u.e.Layers())
	u.s.Table("autoencoder", t)
	return nil
}

// variants are the settings that are compared; the first is the one that the others change.
func (c *Config) variants() (labels []string, confs []*method.ITDConfig) {
	add := func(label string, set func(*method.ITDConfig)) {
		conf := c.ITD
		set(&conf)
		labels, confs = append(labels, label), append(confs, &conf)
	}
	add("itd", func(*method.ITDConfig) {})
	for _, v := range c.Strengths {
		add(fmt.Sprintf("strength %g", v), func(o *method.ITDConfig) { o.Strength, o.KeepError = v, true })
	}
	add("error kept", func(o *method.ITDConfig) { o.KeepError = true })
	add("published threshold", func(o *method.ITDConfig) { o.Between = false })
	for _, top := range c.Tops {
		add(fmt.Sprintf("top %d", top), func(o *method.ITDConfig) { o.Top = top })
	}
	return labels, confs
}

// rows measures the variants in the same way as every other method.
func (u *subject) rows(ctx context.Context) error {
	suite, err := evaluate.NewSuite(ctx, u.e, u.c.Eval)
	if err != nil {
		return err
	}
	m, err := method.Find("itd")
	if err != nil {
		return err
	}
	nothing, err := method.Find("nothing")
	if err != nil {
		return err
	}
	var rows []*evaluate.Row
	labels, confs := u.c.variants()
	for i, label := range append([]string{"nothing"}, labels...) {
		row, err := study.Step(u.s, "row-"+label, func() (*evaluate.Row, error) {
			if i == 0 {
				return suite.Row(ctx, nothing, label, nothing.Config(), nil)
			}
			return suite.Row(ctx, m, label, confs[i-1], nil)
		})
		if err != nil {
			return err
		}
		rows = append(rows, row)
		compare.Numbers(u.s, compare.Key(strings.ReplaceAll(label, "strength -", "strength ")), row)
		u.s.Done(label)
	}
	u.s.Table("methods", evaluate.Table(rows))
	u.s.Value("acc_s_drop", rows[0].Specific.Value-rows[1].Specific.Value)
	u.s.Text("Needs images and is not here: %s.", strings.Join(evaluate.ImageOnly(), ", "))
	return nil
}

// heldOut are the held-out prompts of a task's concept, and those of all that is kept with the ordinary sentences that no fit saw.
func heldOut(t *method.Task) (with, without []string) {
	for _, c := range t.Erase {
		with = append(with, c.Held...)
	}
	for _, c := range append(t.Keep, t.Cross...) {
		without = append(without, c.Held...)
	}
	return with, append(without, t.HeldOut...)
}
