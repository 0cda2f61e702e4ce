// Package spm asks of SPM's membranes (arXiv:2312.16145), on a text encoder, what the paper claims of them on a denoiser: that a rank-1
// adapter of every linear layer erases a concept, that latent anchoring and facilitated transport keep the others, and that the adapter
// works on a changed model.
package spm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/experiments/erase/adapter"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/probe/model"
)

// Config says what is erased and how.
type Config struct {
	study.Base
	Model    string           `json:"model" doc:"text encoder"`
	Erase    []string         `json:"erase" doc:"concepts, each by itself"`
	Domain   string           `json:"domain" doc:"of the concepts" enum:"objects,people,sensitive,styles"`
	Fit      method.SPMConfig `json:"fit" doc:"of each membrane"`
	Noise    float64          `json:"noise" doc:"norm of the noise that is added to each matrix of the other encoder, over the matrix's"`
	Ordinary int              `json:"ordinary" doc:"ordinary sentences"`
	Gated    int              `json:"gated" doc:"ordinary sentences of which the gate is asked alone"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "spm", Doc: "rank-1 membranes in a text encoder: erasing, latent anchoring, transport, another encoder (arXiv:2312.16145)", New: newConfig},
		Title: "SPM: semi-permeable membranes in a text encoder",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "spm", Seed: 1}, Model: "minilm", Erase: []string{"dog", "church", "bicycle"}, Domain: "objects", Fit: method.DefaultSPM(), Noise: 0.1, Ordinary: 16, Gated: 48,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Erase) == 0 || c.Ordinary < 4 || c.Gated < 2 || !(c.Noise >= 0) || c.Fit.Anchors < 1 {
		return fmt.Errorf("erase %v, ordinary %d, gated %d, noise %v, anchors %d; name a concept, take 4 and 2 sentences or more, noise from 0 and 1 anchor or more", c.Erase, c.Ordinary, c.Gated, c.Noise, c.Fit.Anchors)
	}
	return c.Fit.Validate()
}

// The encoders that are compared, by metric name.
const (
	nothing     = "nothing"
	gated       = "spm"
	open        = "open"
	bare        = "no_anchoring"
	bareOpen    = "no_anchoring_open"
	random      = "random"
	transferred = "transferred"
	changed     = "changed"
)

var variants = []struct{ name, title string }{
	{nothing, "nothing"}, {gated, "membrane, anchored, transport"}, {open, "membrane, anchored, strength 1"}, {bare, "membrane, not anchored, transport"},
	{bareOpen, "membrane, not anchored, strength 1"}, {random, "random adapter of equal norms, strength 1"}, {changed, "the changed encoder"}, {transferred, "its membrane from the original"},
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
	noisy, err := perturbed(e, c.Noise, uint64(c.Seed))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noisy.Model.Params.FreeUnshared(l.Model.Params)) }()
	seen := make(map[string]*evaluate.Seen)
	zero, same := 0, 0
	size := 0
	for i, name := range c.Erase {
		task, err := c.task(name)
		if err != nil {
			return err
		}
		one := &concept{e: e, noisy: noisy, cfg: c, task: task, seed: uint64(c.Seed) + uint64(i)}
		got, err := one.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for name, x := range got {
			if before, in := seen[name]; in {
				x = evaluate.Join(before, x)
			}
			seen[name] = x
		}
		zero, same, size = zero+one.zero, same+one.same, one.size
		s.Done(name)
	}
	s.Text("A membrane for each of %v in %s: rank 1 on every linear layer of the blocks, %d bytes, %d steps. Held-out templates; a prompt counts as recognised where its nearest prototype is the concept's, of the original encoder's embeddings of the fitting templates. n = 1 seed.",
		c.Erase, c.Model, size, c.Fit.Steps)
	if err := table(ctx, s, c, seen); err != nil {
		return err
	}
	s.Value("gamma_zero.texts", float64(zero))
	if zero > 0 {
		s.Value("gamma_zero.identical", float64(same)/float64(zero))
	}
	ratio := func(a, b string) float64 {
		return stat.Mean(seen[a].Neighbour, nil) / stat.Mean(seen[b].Neighbour, nil)
	}
	s.Value("anchoring.ratio", ratio(gated, bare))
	s.Value("anchoring.ratio_open", ratio(open, bareOpen))
	s.Text("Neighbours' prompts move by %.2f of what they move without anchoring (%.2f at strength 1). Of the ordinary sentences %d get gamma 0, of which %d keep every bit.",
		ratio(gated, bare), ratio(open, bareOpen), zero, same)
	return nil
}

func (c *Config) task(name string) (*method.Task, error) {
	cfg := method.DefaultTask()
	cfg.Domain, cfg.Erase, cfg.Seed, cfg.Benign, cfg.HeldOut = c.Domain, []string{name}, c.Seed, c.Gated, c.Ordinary
	if cfg.Domain == cfg.Cross {
		cfg.Cross = "objects"
	}
	return method.NewTask(cfg)
}

// concept is one erasure with all its controls.
type concept struct {
	e, noisy         *encoder.Encoder
	cfg              *Config
	task             *method.Task
	seed             uint64
	zero, same, size int
}

func (o *concept) measure(ctx context.Context) (map[string]*evaluate.Seen, error) {
	anchored, _, err := method.FitSPM(ctx, o.e, o.task.Erase[0], o.cfg.Fit, o.seed)
	if err != nil {
		return nil, err
	}
	without := o.cfg.Fit
	without.Anchors = 0
	plain, _, err := method.FitSPM(ctx, o.e, o.task.Erase[0], without, o.seed)
	if err != nil {
		return nil, err
	}
	o.size = 4 * anchored.Size()
	b, err := evaluate.NewBrief(ctx, o.e, o.task, o.cfg.Ordinary)
	if err != nil {
		return nil, err
	}
	other, err := evaluate.NewBrief(ctx, o.noisy, o.task, o.cfg.Ordinary)
	if err != nil {
		return nil, err
	}
	control := method.Membrane{Adapter: anchored.Random(o.seed), Concept: anchored.Concept}
	out := make(map[string]*evaluate.Seen)
	for _, v := range []struct {
		name     string
		brief    *evaluate.Brief
		e        *encoder.Encoder
		membrane *method.Membrane
		gate     bool
	}{
		{nothing, b, o.e, nil, false}, {gated, b, o.e, &anchored, true}, {open, b, o.e, &anchored, false}, {bare, b, o.e, &plain, true}, {bareOpen, b, o.e, &plain, false},
		{random, b, o.e, &control, false}, {changed, other, o.noisy, nil, false}, {transferred, other, o.noisy, &anchored, false},
	} {
		if out[v.name], err = see(ctx, v.brief, v.e, v.membrane, v.gate); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return out, o.unlike(ctx, anchored)
}

// see measures an encoder with a membrane, or without.
func see(ctx context.Context, b *evaluate.Brief, e *encoder.Encoder, m *method.Membrane, gate bool) (_ *evaluate.Seen, err error) {
	if m == nil {
		return b.Of(ctx, nil)
	}
	v, err := method.Transported(ctx, e, []method.Membrane{*m}, gate)
	if err != nil {
		return nil, err
	}
	if v.Params != nil {
		defer func() { err = errors.Join(err, v.Params.FreeUnshared(e.Model.Params)) }()
	}
	return b.Of(ctx, v)
}

// unlike counts ordinary sentences of gamma 0, and those of them whose embedding keeps every bit.
func (o *concept) unlike(ctx context.Context, m method.Membrane) error {
	v, err := method.Transported(ctx, o.e, []method.Membrane{m}, true)
	if err != nil {
		return err
	}
	for _, s := range o.task.Benign {
		text, err := o.e.Tokens(s)
		if err != nil {
			return err
		}
		p, err := v.PerText(ctx, text)
		if err != nil {
			return err
		}
		if p != o.e.Model.Params {
			if err := p.FreeUnshared(o.e.Model.Params); err != nil {
				return err
			}
			continue
		}
		before, err := o.e.Embed(ctx, nil, []string{s})
		if err != nil {
			return err
		}
		after, err := o.e.Embed(ctx, v, []string{s})
		if err != nil {
			return err
		}
		if o.zero++; mat.Equal(before, after) {
			o.same++
		}
	}
	return nil
}

// perturbed is an encoder whose matrices inside the blocks have Gaussian noise of this share of their norms: it stands for a fine-tuned one.
func perturbed(e *encoder.Encoder, share float64, seed uint64) (*encoder.Encoder, error) {
	names, err := adapter.Linears(e.Model.Spec, []string{"blocks.*"})
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x6e6f6973)) // "nois"
	values := make(map[string][]float32)
	for _, name := range names {
		w, err := e.Model.Params.Values(name)
		if err != nil {
			return nil, err
		}
		norm := 0.0
		for _, v := range w {
			norm += float64(v) * float64(v)
		}
		sigma := share * math.Sqrt(norm/float64(len(w)))
		for i := range w {
			w[i] += float32(sigma * rng.NormFloat64())
		}
		values[name] = w
	}
	p, err := e.Model.Params.WithValues(e.Engine.Backend(), values)
	if err != nil {
		return nil, err
	}
	m := model.Model{Name: e.Model.Name + " with noise", Dir: e.Model.Dir, Spec: e.Model.Spec, Params: p}
	return encoder.New(e.Engine, &m, e.Tokenizer, e.Pool)
}

func table(ctx context.Context, s *study.Session, c *Config, seen map[string]*evaluate.Seen) error {
	t := report.Table{
		Caption: "shares of held-out prompts that are recognised, and how far embeddings move over their norm",
		Columns: []report.Column{{Name: "encoder"}, {Name: "Acc_e"}, {Name: "Acc_g"}, {Name: "Acc_s"}, {Name: "neighbours move"}, {Name: "ordinary move"}},
	}
	for _, v := range variants {
		x := seen[v.name]
		cells := []any{v.title}
		for i, values := range [][]float64{x.Erased, x.Synonym, x.Kept, x.Neighbour, x.Ordinary} {
			got, err := lab.MeanOver(ctx, values, lab.UpTo(len(values)), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(v.name+[]string{".acc_e", ".acc_g", ".acc_s", ".neighbour", ".ordinary"}[i], got)
			cells = append(cells, lab.Cell(got))
		}
		t.Rows = append(t.Rows, cells)
	}
	s.Table("variants", t)
	return nil
}
