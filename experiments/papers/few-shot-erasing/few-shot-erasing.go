// Package fewshoterasing erases concepts by a few steps of gradient ascent through a text encoder, and asks where its prompts
// move (Fuchi and Takagi, Erasing Concepts from Text-to-Image Diffusion Models with Few-shot Unlearning, arXiv:2405.07288).
package fewshoterasing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// Config says what is erased with which weights.
type Config struct {
	study.Base
	Model    string               `json:"model" doc:"text encoder"`
	Domain   string               `json:"domain" doc:"of the concepts" enum:"objects,people,sensitive,styles"`
	Concepts []string             `json:"concepts" doc:"that are erased, each by itself; not those that the learning rate was chosen on"`
	FewShot  method.FewShotConfig `json:"few_shot" doc:"settings of the ascent"`
	Settings []Setting            `json:"settings" doc:"what is compared"`
}

// Setting is one row: what is trained, and away from what.
type Setting struct {
	Label    string   `json:"label" doc:"of the row"`
	Update   []string `json:"update" doc:"parameters that are trained, by glob"`
	Examples string   `json:"examples" doc:"what texts are driven away from" enum:"concept,random"`
}

// published is the label of the published choice, whose prompts are followed.
const published = "published"

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "few-shot-erasing", Doc: "few steps of ascent through a text encoder: what is erased, by which weights, and where prompts move (arXiv:2405.07288)", New: newConfig},
		Title: "Few-shot erasing through the text encoder: which weights, and where do the prompts go",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	both := []string{"blocks.*.mlp.*", "blocks.last.attn.*"}
	return &Config{
		Base: study.Base{Name: "few-shot-erasing", Seed: 1}, Model: "minilm", Domain: "objects", Concepts: []string{"dog", "castle"}, FewShot: *method.DefaultFewShot(),
		Settings: []Setting{{published, both, method.ExamplesConcept}, {"random", both, method.ExamplesRandom}},
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Concepts) < 2 || len(c.Settings) == 0 || c.Settings[0].Label != published {
		return fmt.Errorf("concepts is %v and settings %v; name two concepts or more, and %s as the first setting", c.Concepts, c.Settings, published)
	}
	for _, s := range c.Settings {
		if err := c.with(s).Validate(); err != nil || s.Label == "" {
			return errors.Join(fmt.Errorf("setting %q", s.Label), err)
		}
	}
	return nil
}

func (c *Config) with(s Setting) *method.FewShotConfig {
	out := c.FewShot
	out.Update, out.Examples = s.Update, s.Examples
	return &out
}

// subject is the domain as the original encoder sees it.
type subject struct {
	e      *encoder.Encoder
	all    []method.Target
	zero   *erase.ZeroShot // of the concepts
	wide   *erase.ZeroShot // of the concepts and then their super-categories
	supers []string
}

func newSubject(ctx context.Context, e *encoder.Encoder, domain string) (*subject, error) {
	u := &subject{e: e}
	cfg := method.DefaultTask()
	cfg.Domain, cfg.Erase, cfg.Anchor = domain, nil, method.AnchorSuper
	if domain == cfg.Cross {
		cfg.Cross = "objects"
	}
	task, err := method.NewTask(cfg)
	if err != nil {
		return nil, err
	}
	u.all = task.Erase
	var texts []string
	var ends []int // of each class in texts: the concepts, then their super-categories
	add := func(list []string) { texts = append(texts, list...); ends = append(ends, len(texts)) }
	for _, c := range u.all {
		add(c.Fit)
	}
	for _, c := range u.all {
		if !slices.Contains(u.supers, c.Super) {
			u.supers = append(u.supers, c.Super)
			add(c.AnchorFit)
		}
	}
	x, err := e.Embed(ctx, nil, texts)
	if err != nil {
		return nil, err
	}
	_, d := x.Dims()
	var classes []*mat.Dense
	from := 0
	for _, end := range ends {
		classes = append(classes, x.Slice(from, end, 0, d).(*mat.Dense))
		from = end
	}
	if u.zero, err = erase.NewZeroShot(classes[:len(u.all)]); err != nil {
		return nil, err
	}
	u.wide, err = erase.NewZeroShot(classes)
	return u, err
}

// destination names a class of wide and its super-category.
func (u *subject) destination(k int) (name, super string) {
	if k < len(u.all) {
		return u.all[k].Name, u.all[k].Super
	}
	return u.supers[k-len(u.all)], u.supers[k-len(u.all)]
}

// tally gathers outcomes of prompts, with the concept that each belongs to as its cluster.
type tally struct {
	hits    []float64
	cluster []int
}

func (t *tally) add(concept int, hit bool) {
	v := 0.0
	if hit {
		v = 1
	}
	t.value(concept, v)
}

func (t *tally) value(concept int, v float64) {
	t.hits, t.cluster = append(t.hits, v), append(t.cluster, concept)
}

// row is what a setting did, over concepts.
type row struct {
	erased, specific, general  tally
	related, runnerUp, nearest tally
	moved                      []string // "dog: 3 cat, 1 animal"
	seconds                    float64
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	e, err := encoder.New(l.Engine, l.Model, l.Tokenizer, "")
	if err != nil {
		return err
	}
	u, err := newSubject(ctx, e, c.Domain)
	if err != nil {
		return err
	}
	s.Text("%s, each erased from %s by itself by %d steps of ascent at %g from %d examples: one seed, intervals over concepts. Prototypes and prompts share no template.",
		strings.Join(c.Concepts, ", "), c.Model, c.FewShot.Train.Steps, c.FewShot.Train.LR, c.FewShot.Shots)
	s.Done("prototypes")
	var rows []*row
	var labels []string
	do := func(label, name string, conf any) error {
		m, err := method.Find(name)
		if err != nil {
			return err
		}
		if conf == nil {
			conf = m.Config()
		}
		r, err := u.setting(ctx, c, m, conf)
		if err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
		rows, labels = append(rows, r), append(labels, label)
		s.Done(label)
		return nil
	}
	if err := do("nothing", "nothing", nil); err != nil {
		return err
	}
	if err := do("subspace", "random-subspace", nil); err != nil {
		return err
	}
	for _, set := range c.Settings {
		if err := do(set.Label, "few-shot", c.with(set)); err != nil {
			return err
		}
	}
	return publish(ctx, s, c, labels, rows)
}

// setting erases each concept by itself and measures.
func (u *subject) setting(ctx context.Context, c *Config, m method.Method, conf any) (*row, error) {
	out := &row{}
	for _, name := range c.Concepts {
		cfg := method.DefaultTask()
		cfg.Domain, cfg.Erase, cfg.Anchor, cfg.Seed = c.Domain, []string{name}, method.AnchorSuper, c.Seed
		if cfg.Domain == cfg.Cross {
			cfg.Cross = "objects"
		}
		task, err := method.NewTask(cfg)
		if err != nil {
			return nil, err
		}
		seconds, v, err := timed(func() (*encoder.Variant, error) { return m.Fit(ctx, u.e, task, conf) })
		if err != nil {
			return nil, err
		}
		out.seconds += seconds / float64(len(c.Concepts))
		err = u.measure(ctx, out, v, name)
		if v.Params != nil {
			err = errors.Join(err, v.Params.FreeUnshared(u.e.Model.Params))
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// measure adds one concept's erasure to a row.
func (u *subject) measure(ctx context.Context, out *row, v *encoder.Variant, name string) error {
	gone := slices.IndexFunc(u.all, func(t method.Target) bool { return t.Name == name })
	var texts []string
	var class []int
	for k, t := range u.all {
		for _, text := range t.Held {
			texts, class = append(texts, text), append(class, k)
		}
	}
	own := len(texts)
	texts = append(texts, slices.Concat(u.all[gone].SynonymHeld...)...)
	x, err := u.e.Embed(ctx, v, texts)
	if err != nil {
		return err
	}
	predicted, err := u.zero.Predict(x)
	if err != nil {
		return err
	}
	for i, p := range predicted {
		switch {
		case i >= own:
			out.general.add(gone, p == gone)
		case class[i] == gone:
			out.erased.add(gone, p == gone)
		default:
			out.specific.add(gone, p == class[i])
		}
	}
	from := slices.Index(class, gone)
	_, d := x.Dims()
	t := u.all[gone]
	return u.follow(ctx, out, x.Slice(from, from+len(t.Held), 0, d).(*mat.Dense), t, gone)
}

// follow says where the prompts of an erased concept moved: x are their embeddings now.
func (u *subject) follow(ctx context.Context, out *row, x *mat.Dense, t method.Target, gone int) error {
	before, err := u.e.Embed(ctx, nil, t.Held)
	if err != nil {
		return err
	}
	was, err := u.wide.Similarity(before)
	if err != nil {
		return err
	}
	is, err := u.wide.Similarity(x)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for i := range t.Held {
		best, second := 0, -1
		for k := range is.RawRowView(i) {
			if is.At(i, k) > is.At(i, best) {
				best = k
			}
			if k != gone && (second < 0 || was.At(i, k) > was.At(i, second)) {
				second = k
			}
		}
		to, super := u.destination(best)
		counts[to]++
		out.related.add(gone, best != gone && super == t.Super)
		out.runnerUp.add(gone, best == second)
		out.nearest.value(gone, is.At(i, best))
	}
	var parts []string
	for to, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, to))
	}
	slices.Sort(parts)
	slices.Reverse(parts)
	out.moved = append(out.moved, t.Name+": "+strings.Join(parts, ", "))
	return nil
}

func publish(ctx context.Context, s *study.Session, c *Config, labels []string, rows []*row) error {
	t := report.Table{Caption: fmt.Sprintf("%d concepts, one seed; intervals over concepts", len(c.Concepts)), Columns: []report.Column{
		{Name: "trained"}, {Name: "Acc_e", Doc: "prompts recognised as the erased concept"}, {Name: "Acc_s", Doc: "of other concepts"}, {Name: "Acc_g", Doc: "synonyms"},
		{Name: "to its kind", Doc: "prompts nearest to the super-category or another concept of it"}, {Name: "to runner-up", Doc: "prompts nearest to what was second before"},
		{Name: "cosine there"}, {Name: "fit", Unit: "s"},
	}}
	for i, r := range rows {
		cells := []any{labels[i]}
		for _, m := range []struct {
			name string
			of   tally
		}{{"acc_e", r.erased}, {"acc_s", r.specific}, {"acc_g", r.general}, {"related", r.related}, {"runner_up", r.runnerUp}, {"nearest_cosine", r.nearest}} {
			v, err := interval(ctx, m.of, c.Seed)
			if err != nil {
				return err
			}
			s.Interval(labels[i]+"."+m.name, v)
			cells = append(cells, lab.Cell(v))
		}
		s.Value(labels[i]+".seconds", r.seconds)
		t.Rows = append(t.Rows, append(cells, r.seconds))
		if labels[i] == published {
			moved := report.Table{Caption: "nearest prototype of each held-out prompt after the published erasure, super-categories among them", Columns: []report.Column{{Name: "concept and where its prompts are"}}}
			for _, line := range r.moved {
				moved.Rows = append(moved.Rows, []any{line})
			}
			defer s.Table("moved", moved)
		}
	}
	s.Table("settings", t)
	return nil
}

func interval(ctx context.Context, t tally, seed int64) (stats.Interval, error) {
	return lab.MeanOver(ctx, t.hits, t.cluster, seed)
}
