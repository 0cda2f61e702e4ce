// Package uce erases concepts by one closed-form map of the text embeddings, with and without anything preserved, one concept and a hundred
// at once, attacks the map by its inverse, and debiases by it (arXiv:2308.14761).
package uce

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says what is erased and what is debiased.
type Config struct {
	compare.Config
	Professions []string           `json:"professions" doc:"names whose attributes are brought to equal shares, each by itself"`
	Attributes  []string           `json:"attributes" doc:"names of the attributes"`
	Temperature float64            `json:"temperature" doc:"of the softmax over cosines with the attributes' prototypes, whose probabilities are the shares"`
	Debias      erase.DebiasConfig `json:"debias" doc:"of the debiasing"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "uce", Doc: "unified concept editing: 1 to 100 concepts, what is not preserved, the inverse, debiasing (arXiv:2308.14761)", New: newConfig},
		Title: "UCE: one closed-form map for every reader of the text embedding",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Config: *compare.DefaultConfig(), Attributes: []string{"man", "woman"}, Temperature: 0.05, Debias: erase.DefaultDebias(),
		Professions: []string{"nurse", "engineer", "carpenter", "librarian", "pilot", "secretary"}}
	c.Name = "uce"
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Professions) < 2 || len(c.Attributes) < 2 || !(c.Temperature > 0) {
		return fmt.Errorf("%d professions, %d attributes, temperature %v; use two or more of each, and a positive number", len(c.Professions), len(c.Attributes), c.Temperature)
	}
	if err := c.Debias.Validate(); err != nil {
		return err
	}
	return c.Config.Validate()
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	r, err := compare.Run(ctx, s, &c.Config)
	if err != nil {
		return err
	}
	if bare, kept := r.Row("uce-no-preserve"), r.Row("uce"); bare != nil && kept != nil {
		s.Value("drift.bare_over_preserved", bare.Drift.Value/kept.Drift.Value)
		s.Value("neighbours.bare_over_preserved", (1-bare.NeighbourCosine.Value)/(1-kept.NeighbourCosine.Value))
	}
	defer s.Done("debias")
	return debias(ctx, s, c, r.Encoder)
}

// debias brings the attributes of each profession to equal shares and looks at what else moves.
func debias(ctx context.Context, s *study.Session, c *Config, e *encoder.Encoder) error {
	task, err := method.NewTask(c.Task)
	if err != nil {
		return err
	}
	target := func(name string) (method.Target, *mat.Dense, *mat.Dense, error) {
		t, err := method.NewTarget("objects", name, "person")
		if err != nil {
			return t, nil, nil, err
		}
		fit, err := e.Embed(ctx, nil, t.Fit)
		if err != nil {
			return t, nil, nil, err
		}
		held, err := e.Embed(ctx, nil, t.Held)
		return t, fit, held, err
	}
	var classes []*mat.Dense
	attributes := mat.NewDense(len(c.Attributes), e.Width(), nil)
	for a, name := range c.Attributes {
		_, fit, _, err := target(name)
		if err != nil {
			return err
		}
		classes = append(classes, fit)
		n, _ := fit.Dims()
		for i := range n {
			for j, v := range fit.RawRowView(i) {
				attributes.Set(a, j, attributes.At(a, j)+v/float64(n))
			}
		}
	}
	zero, err := erase.NewZeroShot(classes)
	if err != nil {
		return err
	}
	ordinary, err := e.Embed(ctx, nil, task.HeldOut)
	if err != nil {
		return err
	}
	preserved, err := e.Embed(ctx, nil, append(method.Prompts(task.Erase), method.Prompts(task.Keep)...))
	if err != nil {
		return err
	}
	t := report.Table{Caption: "UCE's debiasing: largest distance of a share from equal shares, on fitting and held-out prompts",
		Columns: []report.Column{{Name: "profession"}, {Name: "before"}, {Name: "after, fitting"}, {Name: "before, held out"}, {Name: "after, held out"}, {Name: "rounds"}, {Name: "drift", Doc: "of ordinary sentences"}}}
	var before, after, drift []float64
	matched := 0.0
	for _, name := range c.Professions {
		_, fit, held, err := target(name)
		if err != nil {
			return err
		}
		share := func(x *mat.Dense) func(m *erase.Map) ([]float64, error) {
			return func(m *erase.Map) ([]float64, error) { return shares(zero, x, m, c.Temperature) }
		}
		edit, err := erase.UCEDebias(erase.Request{Concepts: fit, Preserve: preserved, HeldOut: ordinary}, attributes, nil, share(fit), c.Debias)
		if err != nil {
			return fmt.Errorf("debiasing %s: %w", name, err)
		}
		was, err := share(held)(nil)
		if err != nil {
			return err
		}
		now, moved := was, 0.0
		if edit.Edit != nil {
			if now, err = share(held)(edit.Map); err != nil {
				return err
			}
			moved = edit.Errors.HeldOut
		}
		last := edit.Shares[len(edit.Shares)-1]
		t.Rows = append(t.Rows, []any{name, away(edit.Shares[0]), away(last), away(was), away(now), len(edit.Shares) - 1, moved})
		before, after, drift = append(before, away(was)), append(after, away(now)), append(drift, moved)
		if edit.Matched {
			matched += 1 / float64(len(c.Professions))
		}
	}
	s.Table("debias", t)
	s.Value("debias.matched", matched)
	for name, x := range map[string][]float64{"debias.before": before, "debias.after": after, "debias.drift": drift} {
		i, err := lab.MeanOver(ctx, x, lab.UpTo(len(x)), c.Seed)
		if err != nil {
			return err
		}
		s.Interval(name, i)
	}
	return nil
}

// shares are the mean probabilities of the attributes over prompts x, behind a map or nil.
func shares(zero *erase.ZeroShot, x *mat.Dense, m *erase.Map, temperature float64) ([]float64, error) {
	if m != nil {
		var err error
		if x, err = m.Apply(x); err != nil {
			return nil, err
		}
	}
	cos, err := zero.Similarity(x)
	if err != nil {
		return nil, err
	}
	n, k := cos.Dims()
	out := make([]float64, k)
	for i := range n {
		sum := 0.0
		p := make([]float64, k)
		for a, v := range cos.RawRowView(i) {
			p[a] = math.Exp(v / temperature)
			sum += p[a]
		}
		for a := range p {
			out[a] += p[a] / sum / float64(n)
		}
	}
	return out, nil
}

// away is the largest distance from equal shares.
func away(shares []float64) float64 {
	far := 0.0
	for _, v := range shares {
		far = max(far, math.Abs(v-1/float64(len(shares))))
	}
	return far
}
