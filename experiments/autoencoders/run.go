package autoencoders

import (
	"cmp"
	"context"
	"errors"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/internal/stats"
	"loupe/probe/store"
	"loupe/sae"
)

// Run does the whole experiment in a run folder. What a killed run has finished is not done again: the store and the
// training go on where they stood; every dictionary's evaluation and splice, and the explanations, are read back. The
// caller finishes the folder.
func Run(ctx context.Context, b compute.Backend, cfg *Config, dir *run.Dir, opt lab.Options) (_ *Result, err error) {
	x, err := open(ctx, b, cfg, dir, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	r := &Result{Folder: dir.Path(), Model: x.Model.Name, Site: cfg.Site}
	clock, err := lab.NewClock(dir)
	if err != nil {
		return nil, err
	}

	sum, st, err := x.capture(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	clock.Done("capture", sum.AlreadyComplete)
	if r.Trained, err = x.train(ctx, st); err != nil {
		return nil, err
	}
	clock.Done("train", false)
	if err := x.compare(ctx, st, r, clock); err != nil {
		return nil, err
	}
	r.Times, r.Compiles = clock.Times, x.Compiles()
	if err := r.describeData(ctx, st, x); err != nil {
		return nil, err
	}
	got := r.numbers()
	r.Metrics, r.Expected, r.Other = lab.Named(got), opt.Judge(got), opt.Other
	if err := r.writeTables(dir); err != nil {
		return nil, err
	}
	return r, r.writeReport(dir, x)
}

// compare measures all dictionaries and explains latents of the best one.
func (x *experiment) compare(ctx context.Context, st *store.Store, r *Result, clock *lab.Clock) error {
	base, err := x.base(ctx, st)
	if err != nil {
		return err
	}
	clock.Done("controls", false)
	e, err := x.evaluator(ctx, st)
	if err != nil {
		return err
	}
	dictionaries := x.dictionaries(base)
	var all []*measured
	for _, d := range dictionaries {
		v, err := e.evaluate(ctx, d)
		if err != nil {
			return err
		}
		all = append(all, &measured{method: d.method, eval: v})
	}
	clock.Done("evaluate", false)
	s, err := x.splicer(ctx, st, base)
	if err != nil {
		return err
	}
	ablated, err := s.ablate(ctx, dictionaries[len(dictionaries)-1])
	if err != nil {
		return err
	}
	for i, d := range dictionaries {
		if all[i].splice, err = s.splice(ctx, d); err != nil {
			return err
		}
	}
	if err := ablated.join(all); err != nil {
		return err
	}
	clock.Done("splice", false)
	if r.Explained, err = e.explain(ctx, best(all)); err != nil {
		return err
	}
	clock.Done("explain", false)
	if r.Measures, r.Rankings, err = x.measure(ctx, all, ablated); err != nil {
		return err
	}
	if r.Ablated, err = x.ablatedNumbers(ctx, all[0], ablated); err != nil {
		return err
	}
	clock.Done("intervals", false)
	r.Evaluated, r.Texts, r.Spliced, r.Check = all[0].eval.Result.Rows, len(all[0].eval.Texts.Doc), len(ablated.Docs), ablated.Check
	return nil
}

// ablatedNumbers are those of mean and zero ablation.
func (x *experiment) ablatedNumbers(ctx context.Context, any *measured, a *Ablated) ([]AblatedNumber, error) {
	var out []AblatedNumber
	add := func(name, ablated string, n int, s stats.Statistic) error {
		i, err := overTexts(ctx, n, s, x.cfg.Seed)
		out = append(out, AblatedNumber{name, ablated, i})
		return err
	}
	for _, k := range x.metrics(len(any.eval.Texts.Doc), a) {
		if k.ablated != nil {
			if err := add(k.name, "mean", k.texts, k.ablated); err != nil {
				return nil, err
			}
		}
	}
	if x.encoder {
		return out, nil
	}
	n := len(a.Docs)
	return out, cmp.Or(
		add("ce_more", "zero", n, ceMore(a.Losses, sae.VariantZero)),
		add("kl", "zero", n, a.Losses.KLOf(sae.VariantZero)),
	)
}

// describeData counts what was read.
func (r *Result) describeData(ctx context.Context, st *store.Store, x *experiment) error {
	set, err := st.Select(ctx, x.training())
	if err != nil {
		return err
	}
	steps := (x.cfg.Tokens + int64(x.cfg.Batch) - 1) / int64(x.cfg.Batch)
	r.Store, r.Rows, r.Training = st.Dir(), st.Rows(), set.Len()
	r.Epochs = float64(steps*int64(x.cfg.Batch)) / float64(r.Training)
	return nil
}
