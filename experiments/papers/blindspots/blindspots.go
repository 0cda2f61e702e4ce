// Package blindspots compares the energy of an archetypal autoencoder's features before and after an erasure, and between two kinds of
// text, to find what an eraser harms besides its target (after arXiv:2506.19708).
package blindspots

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/sae"
)

// Config says what is erased by what, and by which features it is looked at.
type Config struct {
	study.Base
	Model      string                  `json:"model" doc:"text encoder"`
	Task       method.TaskConfig       `json:"task" doc:"what is erased"`
	Methods    []string                `json:"methods" doc:"erasers with their default settings"`
	Dictionary method.DictionaryConfig `json:"dictionary" doc:"archetypal autoencoder of the final states"`
	Factor     float64                 `json:"factor" doc:"change of a feature's energy that counts"`
	Rank       int                     `json:"rank" doc:"of the random subspaces that are removed for comparison"`
	Random     int                     `json:"random" doc:"random subspaces"`
	Raised     float64                 `json:"raised" doc:"a feature is the concept's own if its prompts have so many times the energy in it that their twins have"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "blindspots", Doc: "collateral features of erasers: energies of an archetypal autoencoder before and after (after arXiv:2506.19708)", New: newConfig},
		Title: "Blind spots: which features an eraser changes besides its target's",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Base: study.Base{Name: "blindspots", Seed: 1}, Model: "minilm", Task: method.DefaultTask(), Methods: []string{"uce", "leace", "mean-projection"},
		Dictionary: method.DefaultDictionary(), Factor: 2, Rank: 8, Random: 5, Raised: 4}
	c.Dictionary.SAE.Arch, c.Dictionary.SAE.DSAE, c.Dictionary.SAE.K = sae.ArchRATopK, 512, 16
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if err := c.Task.Validate(); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	if len(c.Task.Erase) == 0 || len(c.Methods) == 0 || c.Random < 1 || c.Rank < 1 || !(c.Factor > 1) || !(c.Raised > 1) {
		return fmt.Errorf("erase is %v, methods %v, random %d, rank %d, factor %v, raised %v; name concepts and methods, use 1 or more, and factors above 1", c.Task.Erase, c.Methods, c.Random, c.Rank, c.Factor, c.Raised)
	}
	for _, name := range c.Methods {
		if _, err := method.Find(name); err != nil {
			return err
		}
	}
	return c.Dictionary.Validate()
}

// subject is the encoder with its features, and the texts whose energies are compared.
type subject struct {
	c      *Config
	s      *study.Session
	e      *encoder.Encoder
	coder  *erase.SAECoder
	benign []string
	table  report.Table
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	e, err := compare.Open(ctx, s, c.Model, "")
	if err != nil {
		return err
	}
	c.Task.Seed = c.Seed
	t, err := method.NewTask(c.Task)
	if err != nil {
		return err
	}
	dictionary := c.Dictionary
	if dictionary.Layer == 0 {
		dictionary.Layer = e.Layers()
	}
	u := &subject{c: c, s: s, e: e, benign: slices.Clone(t.HeldOut)}
	if u.coder, err = new(method.Dictionaries).Open(ctx, e, dictionary, c.Seed); err != nil {
		return err
	}
	s.Done("autoencoder")
	for _, k := range t.Keep {
		u.benign = append(u.benign, k.Held...)
	}
	var prompts, twins []string
	for _, k := range t.Erase {
		prompts, twins = append(prompts, append(slices.Clone(k.Fit), k.Held...)...), append(twins, append(slices.Clone(k.AnchorFit), k.AnchorHeld...)...)
	}
	own, err := u.raised(ctx, prompts, twins)
	if err != nil {
		return err
	}
	s.Text("Of %d archetypal features of the final states %d are the concept's own: %g times the energy in its prompts that its twins have.", u.coder.Features(), len(own), c.Raised)
	u.table = report.Table{Caption: fmt.Sprintf("Features whose energy changed by more than %g times, up or down, in %d texts without the concept", c.Factor, len(u.benign)),
		Columns: []report.Column{{Name: "eraser"}, {Name: "collateral", Doc: "share of the active features that are not the concept's own"}, {Name: "of the concept's own"}, {Name: "lost"}, {Name: "gained"}}}
	most := 0.0
	for i := range c.Random {
		m, err := method.Find("random-subspace")
		if err != nil {
			return err
		}
		one := *t
		one.Seed += int64(i)
		v, err := m.Fit(ctx, e, &one, &method.SubspaceConfig{Rank: c.Rank})
		if err != nil {
			return err
		}
		share, err := u.eraser(ctx, fmt.Sprintf("random subspace, rank %d, %d", c.Rank, i+1), "", v, own)
		if err != nil {
			return err
		}
		most = max(most, share)
	}
	s.Value("null.largest", most)
	for _, name := range c.Methods {
		m, err := method.Find(name)
		if err != nil {
			return err
		}
		v, err := m.Fit(ctx, e, t, m.Config())
		if err != nil {
			return err
		}
		share, err := u.eraser(ctx, name, compare.Key(name), v, own)
		if err != nil {
			return err
		}
		s.Value(compare.Key(name)+".over_null", share-most)
	}
	s.Table("erasers", u.table)
	s.Done("erasers")
	return u.corpora(ctx, t)
}

// codes are the codes [tokens, f] of texts' final states.
func (u *subject) codes(ctx context.Context, v *encoder.Variant, texts []string) (*mat.Dense, error) {
	states, err := u.e.States(ctx, v, texts)
	if err != nil {
		return nil, err
	}
	z, err := u.coder.Encode(method.Rows(states))
	if err != nil {
		return nil, err
	}
	return z.Dense(), nil
}

// floor keeps features that are hardly ever active from having large ratios: a thousandth of the mean energy.
func floor(z *mat.Dense) float64 {
	n, f := z.Dims()
	return 1e-3 * mat.Norm(z, 2) * mat.Norm(z, 2) / float64(n*f)
}

// raised are the features that are the concept's own.
func (u *subject) raised(ctx context.Context, prompts, twins []string) ([]int, error) {
	a, err := u.codes(ctx, nil, prompts)
	if err != nil {
		return nil, err
	}
	b, err := u.codes(ctx, nil, twins)
	if err != nil {
		return nil, err
	}
	ratio, err := erase.EnergyLogRatio(a, b, floor(b))
	if err != nil {
		return nil, err
	}
	changed, err := erase.Collateral(ratio, nil, u.c.Raised)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(changed, func(f int) bool { return ratio[f] < 0 }), nil
}

// eraser counts the features that a variant changes in texts without the concept; key names the numbers, empty: none.
func (u *subject) eraser(ctx context.Context, name, key string, v *encoder.Variant, own []int) (float64, error) {
	before, err := u.codes(ctx, nil, u.benign)
	if err != nil {
		return 0, err
	}
	after, err := u.codes(ctx, v, u.benign)
	if err != nil {
		return 0, err
	}
	ratio, err := erase.EnergyLogRatio(after, before, floor(before))
	if err != nil {
		return 0, err
	}
	all, err := erase.Collateral(ratio, nil, u.c.Factor)
	if err != nil {
		return 0, err
	}
	collateral, err := erase.Collateral(ratio, own, u.c.Factor)
	if err != nil {
		return 0, err
	}
	lost := 0
	for _, f := range collateral {
		if ratio[f] < 0 {
			lost++
		}
	}
	i, err := stats.Wilson(len(collateral), u.coder.Features()-len(own), lab.Level)
	if err != nil {
		return 0, err
	}
	u.table.Rows = append(u.table.Rows, []any{name, lab.Cell(i), len(all) - len(collateral), lost, len(collateral) - lost})
	if key != "" {
		u.s.Interval(key+".collateral", i)
	}
	return i.Value, nil
}

// corpora compares two kinds of ordinary text, and two halves of one as the null.
func (u *subject) corpora(ctx context.Context, t *method.Task) error {
	defer u.s.Done("corpora")
	var prompts []string
	for _, k := range t.Cross {
		prompts = append(prompts, k.Held...)
	}
	half := len(t.HeldOut) / 2
	table := report.Table{Caption: "Two kinds of text: features whose energy differs", Columns: []report.Column{{Name: "texts"}, {Name: "features"}}}
	for _, p := range []struct {
		name, key string
		a, b      []string
	}{{"prompts of styles against ordinary sentences", "corpora.differ", prompts, t.HeldOut}, {"two halves of the ordinary sentences", "corpora.null", t.HeldOut[:half], t.HeldOut[half:]}} {
		a, err := u.codes(ctx, nil, p.a)
		if err != nil {
			return err
		}
		b, err := u.codes(ctx, nil, p.b)
		if err != nil {
			return err
		}
		ratio, err := erase.EnergyLogRatio(a, b, floor(b))
		if err != nil {
			return err
		}
		changed, err := erase.Collateral(ratio, nil, u.c.Factor)
		if err != nil {
			return err
		}
		i, err := stats.Wilson(len(changed), u.coder.Features(), lab.Level)
		if err != nil {
			return err
		}
		table.Rows = append(table.Rows, []any{p.name, lab.Cell(i)})
		u.s.Interval(p.key, i)
	}
	u.s.Table("corpora", table)
	return nil
}
