// Package conceptsliders asks of low-rank sliders of a text encoder (arXiv:2311.12092) what the papers claim of them on denoisers: that the
// attribute rises with the strength, on nouns and templates that the slider was not made from, and that a slider of one model works on
// another one.
package conceptsliders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/experiments/erase/adapter"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/vectors"
)

// Config says which sliders are made.
type Config struct {
	study.Base
	Model     string              `json:"model" doc:"text encoder"`
	Sliders   []string            `json:"sliders" doc:"negative:positive words, one slider each"`
	Fitted    []string            `json:"fitted" doc:"objects that sliders and probes are made from"`
	Unseen    []string            `json:"unseen" doc:"objects that they are tried on"`
	Strengths []float64           `json:"strengths" doc:"alpha, ascending, 0 among them"`
	Fit       method.SliderConfig `json:"fit" doc:"of each slider"`
	Ordinary  int                 `json:"ordinary" doc:"ordinary sentences, for what moves besides"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "concept-sliders", Doc: "low-rank concept sliders of a text encoder: monotone strength, transfer to a rounded model, off-target drift (arXiv:2311.12092)", New: newConfig},
		Title: "Concept sliders as low-rank adapters of a text encoder",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "concept-sliders", Seed: 1}, Model: "minilm", Sliders: []string{"new:ruined", "small:huge"},
		Fitted: []string{"castle", "boat", "horse", "windmill"}, Unseen: []string{"church", "lorry", "bicycle", "bridge"},
		Strengths: []float64{-1, -0.5, 0, 0.5, 1}, Fit: method.DefaultSliderFit(), Ordinary: 16,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	for _, w := range c.Sliders {
		if len(strings.Split(w, ":")) != 2 {
			return fmt.Errorf("slider %q; write negative:positive", w)
		}
	}
	switch {
	case len(c.Sliders) == 0 || len(c.Fitted) == 0 || len(c.Unseen) == 0 || c.Ordinary < 2:
		return fmt.Errorf("sliders %v, fitted %v, unseen %v, ordinary %d: each is needed", c.Sliders, c.Fitted, c.Unseen, c.Ordinary)
	case len(c.Strengths) < 3 || !slices.IsSorted(c.Strengths) || !slices.Contains(c.Strengths, 0):
		return fmt.Errorf("strengths %v; give three or more, ascending, 0 among them", c.Strengths)
	}
	return c.Fit.Validate()
}

func run(ctx context.Context, s *study.Session, c *Config) (err error) {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	e, err := encoder.New(l.Engine, l.Model, l.Tokenizer, "")
	if err != nil {
		return err
	}
	rounded, err := roundedCopy(ctx, s, l, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rounded.Model.Params.FreeUnshared(l.Model.Params)) }()
	t := report.Table{
		Caption: "held-out templates with objects that no slider saw: slope of a probe's score over alpha (in units of the score's gap between the negative and the positive word), its rank correlation with alpha within a prompt, and how far ordinary sentences move at the largest alpha",
		Columns: []report.Column{{Name: "slider"}, {Name: "adapter"}, {Name: "slope"}, {Name: "Spearman"}, {Name: "slope over native"}, {Name: "ordinary move"}},
	}
	var spearman, transfer, control, drift []float64
	for i, words := range c.Sliders {
		one, err := fit(ctx, e, c, words, uint64(c.Seed)+uint64(i))
		if err != nil {
			return fmt.Errorf("slider %s: %w", words, err)
		}
		native := 0.0
		for _, of := range []struct {
			name, title string
			e           *encoder.Encoder
			a           *adapter.Adapter
		}{
			{"native", "its own encoder", e, one.adapter}, {"rounded", "the encoder rounded to bfloat16", rounded, one.adapter},
			{"random", "random adapter of equal norms", e, one.adapter.Random(uint64(c.Seed))},
		} {
			got, err := one.slide(ctx, of.e, of.a)
			if err != nil {
				return fmt.Errorf("slider %s, %s: %w", words, of.name, err)
			}
			cells := []any{words, of.title}
			for j, values := range [][]float64{got.slope, got.rank} {
				v, err := lab.MeanOver(ctx, values, lab.UpTo(len(values)), c.Seed)
				if err != nil {
					return err
				}
				s.Interval(fmt.Sprintf("%d.%s%s", i+1, of.name, []string{".slope", ".spearman"}[j]), v)
				cells = append(cells, lab.Cell(v))
			}
			slope := stat.Mean(got.slope, nil)
			switch of.name {
			case "native":
				native = slope
				spearman, drift = append(spearman, stat.Mean(got.rank, nil)), append(drift, got.moved)
			case "rounded":
				transfer = append(transfer, slope/native)
			case "random":
				control = append(control, max(slope/native, -slope/native))
			}
			t.Rows = append(t.Rows, append(cells, slope/native, got.moved))
		}
		s.Done(words)
	}
	s.Text("%d sliders of %s, rank %d on every linear layer of the blocks, %d steps, from the objects %v; probes of the positive against the negative word on the same objects, tried on %v in held-out templates. n = 1 seed.",
		len(c.Sliders), c.Model, c.Fit.Rank, c.Fit.Steps, c.Fitted, c.Unseen)
	s.Table("sliders", t)
	s.Value("spearman", floats.Min(spearman))
	s.Value("transfer", floats.Min(transfer))
	s.Value("control", floats.Max(control))
	s.Value("off_target", floats.Max(drift))
	return nil
}

// roundedCopy is the encoder with its matrices rounded to bfloat16 and read in float32: another model of the same shape.
func roundedCopy(ctx context.Context, s *study.Session, l *lab.Lab, e *encoder.Encoder) (_ *encoder.Encoder, err error) {
	half, err := model.Load(ctx, l.Backend, l.Model.Dir, model.Options{DType: model.BFloat16})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, half.Params.Free()) }()
	names, err := adapter.Linears(e.Model.Spec, []string{"blocks.*"})
	if err != nil {
		return nil, err
	}
	values := make(map[string][]float32)
	for _, name := range names {
		if values[name], err = half.Params.Values(name); err != nil {
			return nil, err
		}
	}
	p, err := e.Model.Params.WithValues(s.Backend(), values)
	if err != nil {
		return nil, err
	}
	m := *e.Model
	m.Params = p
	return encoder.New(e.Engine, &m, e.Tokenizer, e.Pool)
}

// slider is an adapter with the probe and the texts that measure it.
type slider struct {
	adapter  *adapter.Adapter
	probe    []float64 // a score's direction, in units of the gap between the classes' means
	prompts  []string
	ordinary []string
	cfg      *Config
}

// fit makes the slider and its probe: "a photo of a castle" towards "a photo of a ruined castle" and away from "... new castle".
func fit(ctx context.Context, e *encoder.Encoder, c *Config, words string, seed uint64) (*slider, error) {
	pair := strings.Split(words, ":")
	objects, err := domain()
	if err != nil {
		return nil, err
	}
	var prompts []method.SliderPrompt
	var both []string
	for _, name := range c.Fitted {
		concept, err := objects.Concept(name)
		if err != nil {
			return nil, err
		}
		plain := objects.Prompts(concept, false)
		low, high := objects.Named(pair[0]+" "+name, false), objects.Named(pair[1]+" "+name, false)
		for i := range plain {
			prompts = append(prompts, method.SliderPrompt{Neutral: plain[i].Text, Positive: high[i].Text, Negative: low[i].Text})
			both = append(both, low[i].Text, high[i].Text)
		}
	}
	u := &slider{cfg: c}
	if u.adapter, _, err = method.FitSlider(ctx, e, prompts, c.Fit, seed); err != nil {
		return nil, err
	}
	x, err := e.Embed(ctx, nil, both)
	if err != nil {
		return nil, err
	}
	if u.probe, err = probeOf(ctx, x); err != nil {
		return nil, err
	}
	for _, name := range c.Unseen {
		concept, err := objects.Concept(name)
		if err != nil {
			return nil, err
		}
		for _, p := range objects.Prompts(concept, true) {
			u.prompts = append(u.prompts, p.Text)
		}
	}
	u.ordinary, err = text.Neutral(c.Seed, c.Ordinary)
	return u, err
}

func domain() (text.ErasureDomain, error) {
	domains, err := text.ErasureSuite()
	if err != nil {
		return text.ErasureDomain{}, err
	}
	i := slices.IndexFunc(domains, func(d text.ErasureDomain) bool { return d.Name == "objects" })
	if i < 0 {
		return text.ErasureDomain{}, errors.New("the suite has no objects")
	}
	return domains[i], nil
}

// probeOf is a logistic probe of odd against even rows, scaled so that the means of the classes are 1 apart.
func probeOf(ctx context.Context, x *mat.Dense) ([]float64, error) {
	n, d := x.Dims()
	class, gap := make([]int, n), make([]float64, d)
	for i := range n {
		class[i] = i % 2
		floats.AddScaled(gap, float64(2*class[i]-1)/float64(n/2), x.RawRowView(i))
	}
	f, err := vectors.FitMethod(ctx, vectors.MethodLogistic, x, vectors.Labels{Class: class, K: 2}, vectors.DefaultMethodConfig())
	if err != nil {
		return nil, err
	}
	w := mat.Row(nil, 0, f.Directions)
	floats.Scale(1/floats.Dot(w, gap), w)
	return w, nil
}

// slid is what an adapter does at all strengths.
type slid struct {
	slope, rank []float64 // of each prompt's score over the strength
	moved       float64   // mean |x' - x| / |x| of ordinary sentences at the largest strength
}

func (u *slider) slide(ctx context.Context, e *encoder.Encoder, a *adapter.Adapter) (out slid, err error) {
	scores := make([][]float64, len(u.prompts)) // [prompt][strength]
	all := slices.Concat(u.prompts, u.ordinary)
	plain, err := e.Embed(ctx, nil, all)
	if err != nil {
		return out, err
	}
	var x *mat.Dense
	for _, alpha := range u.cfg.Strengths {
		if x, err = at(ctx, e, a, alpha, all); err != nil {
			return out, err
		}
		for i := range u.prompts {
			scores[i] = append(scores[i], floats.Dot(u.probe, x.RawRowView(i)))
		}
	}
	for _, y := range scores {
		_, slope := stat.LinearRegression(u.cfg.Strengths, y, nil, false)
		r, err := stats.Spearman(u.cfg.Strengths, y)
		if err != nil {
			return out, err
		}
		out.slope, out.rank = append(out.slope, slope), append(out.rank, r.R)
	}
	for i := len(u.prompts); i < len(all); i++ {
		out.moved += floats.Distance(x.RawRowView(i), plain.RawRowView(i), 2) / floats.Norm(plain.RawRowView(i), 2) / float64(len(u.ordinary))
	}
	return out, nil
}

// at embeds texts with an adapter at a strength.
func at(ctx context.Context, e *encoder.Encoder, a *adapter.Adapter, alpha float64, texts []string) (_ *mat.Dense, err error) {
	p, err := adapter.Merge(e.Engine.Backend(), e.Model.Params, adapter.Part{Adapter: a, Strength: alpha})
	if err != nil {
		return nil, err
	}
	if p != e.Model.Params {
		defer func() { err = errors.Join(err, p.FreeUnshared(e.Model.Params)) }()
	}
	return e.Embed(ctx, &encoder.Variant{Params: p}, texts)
}
