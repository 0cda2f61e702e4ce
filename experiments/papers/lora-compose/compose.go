// Package loracompose asks the text side's part of LoRA composition: what becomes of membranes (SPM, arXiv:2312.16145) that were each
// trained alone when several are added to one encoder, beside the sum of what each does alone.
package loracompose

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says which membranes are composed.
type Config struct {
	study.Base
	Model    string           `json:"model" doc:"text encoder"`
	Domain   string           `json:"domain" doc:"of the concepts" enum:"objects,people,sensitive,styles"`
	Erase    []string         `json:"erase" doc:"concepts in the order in which their membranes are added"`
	Counts   []int            `json:"counts" doc:"numbers of membranes that are composed"`
	Fit      method.SPMConfig `json:"fit" doc:"of each membrane"`
	Ordinary int              `json:"ordinary" doc:"ordinary sentences"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "lora-compose", Doc: "interference of composed adapters: several membranes in one encoder beside the sum of their effects", New: newConfig},
		Title: "Composed adapters: interference of several membranes",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{
		Base: study.Base{Name: "lora-compose", Seed: 1}, Model: "minilm", Domain: "objects",
		Erase:  []string{"dog", "church", "bicycle", "balloon", "parrot", "bridge", "train", "rabbit", "lighthouse", "boat"},
		Counts: []int{1, 2, 5, 10}, Fit: method.DefaultSPM(), Ordinary: 16,
	}
	c.Fit.Steps, c.Fit.Transport = 25, false
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case len(c.Erase) < 2 || c.Ordinary < 2:
		return fmt.Errorf("erase %v, ordinary %d; name two concepts or more and take two sentences or more", c.Erase, c.Ordinary)
	case len(c.Counts) == 0 || !slices.IsSorted(c.Counts) || c.Counts[0] < 1 || c.Counts[len(c.Counts)-1] > len(c.Erase):
		return fmt.Errorf("counts %v of %d concepts; give numbers from 1, ascending", c.Counts, len(c.Erase))
	}
	return c.Fit.Validate()
}

type experiment struct {
	cfg       *Config
	e         *encoder.Encoder
	membranes []method.Membrane
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	x := &experiment{cfg: c}
	if x.e, err = encoder.New(l.Engine, l.Model, l.Tokenizer, ""); err != nil {
		return err
	}
	for i, name := range c.Erase {
		task, err := c.task(name)
		if err != nil {
			return err
		}
		m, _, err := method.FitSPM(ctx, x.e, task.Erase[0], c.Fit, uint64(c.Seed)+uint64(i))
		if err != nil {
			return err
		}
		x.membranes = append(x.membranes, m)
	}
	s.Done("fit")
	s.Text("%d membranes of %s, each trained alone (rank 1 on every linear layer of the blocks, %d steps), added to one encoder in the order %v. n = 1 seed, one order.", len(c.Erase), c.Model, c.Fit.Steps, c.Erase)
	s.Text("Membranes of two concepts have updates of cosine %.3f on average (largest %.3f).", x.overlap(false), x.overlap(true))
	s.Value("overlap", x.overlap(false))
	return x.compose(ctx, s)
}

func (c *Config) task(names ...string) (*method.Task, error) {
	cfg := method.DefaultTask()
	cfg.Domain, cfg.Erase, cfg.Seed, cfg.Benign, cfg.HeldOut = c.Domain, names, c.Seed, 2, c.Ordinary
	if cfg.Domain == cfg.Cross {
		cfg.Cross = "objects"
	}
	return method.NewTask(cfg)
}

// overlap is the mean or largest |cosine| of two membranes' updates, over all layers at once: <u v', a b'> = <u, a> <v, b>.
func (x *experiment) overlap(largest bool) float64 {
	dot := func(a, b []float32) (s float64) {
		for i, v := range a {
			s += float64(v) * float64(b[i])
		}
		return s
	}
	inner := func(a, b method.Membrane) (s float64) {
		for i, l := range a.Layers {
			s += dot(l.Up, b.Layers[i].Up) * dot(l.Down, b.Layers[i].Down)
		}
		return s
	}
	var all []float64
	for i, a := range x.membranes {
		for _, b := range x.membranes[:i] {
			all = append(all, math.Abs(inner(a, b))/math.Sqrt(inner(a, a)*inner(b, b)))
		}
	}
	if largest {
		return floats.Max(all)
	}
	return stat.Mean(all, nil)
}

// see is what an encoder with membranes at strength 1, or by their gates, does to a brief's texts.
func (x *experiment) see(ctx context.Context, b *evaluate.Brief, membranes []method.Membrane, gate bool) (_ *evaluate.Seen, err error) {
	v, err := method.Transported(ctx, x.e, membranes, gate)
	if err != nil {
		return nil, err
	}
	if v.Params != nil {
		defer func() { err = errors.Join(err, v.Params.FreeUnshared(x.e.Model.Params)) }()
	}
	return b.Of(ctx, v)
}

func (x *experiment) compose(ctx context.Context, s *study.Session) error {
	t := report.Table{
		Caption: "k membranes in one encoder: shares of held-out prompts that are recognised, how far neighbours' embeddings move over their norm, and |effect of k - sum of k effects| / |sum of k effects| on the embeddings of all texts",
		Columns: []report.Column{{Name: "k"}, {Name: "Acc_e"}, {Name: "Acc_s"}, {Name: "neighbours move"}, {Name: "sum of single moves"}, {Name: "interference"}, {Name: "Acc_e, transport"}, {Name: "Acc_s, transport"}, {Name: "neighbours move, transport"}},
	}
	for _, k := range x.cfg.Counts {
		task, err := x.cfg.task(x.cfg.Erase[:k]...)
		if err != nil {
			return err
		}
		b, err := evaluate.NewBrief(ctx, x.e, task, x.cfg.Ordinary)
		if err != nil {
			return err
		}
		all, err := x.see(ctx, b, x.membranes[:k], false)
		if err != nil {
			return err
		}
		var sum mat.Dense
		single := 0.0
		for i := range k {
			one, err := x.see(ctx, b, x.membranes[i:i+1], false)
			if err != nil {
				return err
			}
			var effect mat.Dense
			effect.Sub(one.Rows, b.Before())
			if i == 0 {
				sum.CloneFrom(&effect)
			} else {
				sum.Add(&sum, &effect)
			}
			single += stat.Mean(one.Neighbour, nil)
		}
		gated, err := x.see(ctx, b, x.membranes[:k], true)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("k%d", k)
		cells := []any{k}
		take := func(what string, values []float64) error {
			got, err := lab.MeanOver(ctx, values, lab.UpTo(len(values)), x.cfg.Seed)
			if err != nil {
				return err
			}
			s.Interval(name+what, got)
			if k == x.cfg.Counts[len(x.cfg.Counts)-1] {
				s.Interval("most"+what, got)
			}
			cells = append(cells, lab.Cell(got))
			return nil
		}
		if err := errors.Join(take(".acc_e", all.Erased), take(".acc_s", all.Kept), take(".neighbour", all.Neighbour)); err != nil {
			return err
		}
		apart := interference(all.Rows, b.Before(), &sum)
		s.Value(name+".single_sum", single)
		cells = append(cells, single)
		if err := errors.Join(take(".interference", apart), take(".gated.acc_e", gated.Erased), take(".gated.acc_s", gated.Kept), take(".gated.neighbour", gated.Neighbour)); err != nil {
			return err
		}
		t.Rows = append(t.Rows, cells)
		s.Done(name)
	}
	s.Table("compose", t)
	return nil
}

// interference is |x' - x - sum| / |sum| of each text, for the sum of the effects that adapters have alone.
func interference(after, before, sum *mat.Dense) []float64 {
	n, d := after.Dims()
	out := make([]float64, n)
	gap := make([]float64, d)
	for i := range n {
		floats.SubTo(gap, after.RawRowView(i), before.RawRowView(i))
		floats.Sub(gap, sum.RawRowView(i))
		out[i] = floats.Norm(gap, 2) / floats.Norm(sum.RawRowView(i), 2)
	}
	return out
}
