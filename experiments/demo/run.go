package demo

import (
	"context"
	"errors"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/probe/store"
	"loupe/sae"
)

// Run does the whole experiment in a run folder. Steps that a killed run has finished are not done again: the store and
// the training go on where they stood, later steps are read back. The caller finishes the folder.
func Run(ctx context.Context, b compute.Backend, cfg *Config, dir *run.Dir, opt lab.Options) (_ *Result, err error) {
	l, err := open(ctx, b, cfg, dir, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	r := &Result{Folder: dir.Path(), Model: l.Model.Name, Site: cfg.Site}
	clock, err := lab.NewClock(dir)
	if err != nil {
		return nil, err
	}

	sum, st, err := l.capture(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	r.Store, r.Rows = sum.Store, st.Rows()
	clock.Done("capture", sum.AlreadyComplete)

	trained, untrained, err := l.train(ctx, st)
	if err != nil {
		return nil, err
	}
	r.DSAE, r.K, r.Tokens = trained.DSAE, trained.K, cfg.SAE.Steps()*int64(cfg.SAE.Batch)
	clock.Done("train", false)

	if r.SAE, err = l.evaluate(ctx, st, trained); err != nil {
		return nil, err
	}
	clock.Done("evaluate", false)

	p, err := l.prepare(ctx, st, trained, untrained, r.SAE.Density)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	clock.Done("embed", false)
	if r.Splice, err = lab.Step(dir, "splice", func() (*SpliceResult, error) { return p.splice(ctx) }); err != nil {
		return nil, err
	}
	clock.Done("splice", false)
	if r.Concepts, err = lab.Step(dir, "detect", func() ([]*Detection, error) { return p.detect(ctx) }); err != nil {
		return nil, err
	}
	clock.Done("detect", false)
	if r.Ablations, err = lab.Step(dir, "ablate", func() ([]*Ablation, error) { return p.ablate(ctx, r.Concepts) }); err != nil {
		return nil, err
	}
	clock.Done("ablate", false)
	r.Times = clock.Times
	r.Compiles = l.Compiles()
	got, err := r.metrics(ctx, cfg.Seed)
	if err != nil {
		return nil, err
	}
	r.Metrics, r.Expected, r.Other = lab.Named(got), opt.Judge(got), opt.Other
	if err := r.writeTables(dir); err != nil {
		return nil, err
	}
	return r, r.writeReport(dir, cfg, opt)
}

// prepared is what splice, detect and ablate share.
type prepared struct {
	*experiment
	acts               *Activations
	tail               *Tail
	trained, untrained *sae.SAE
	runner, control    *sae.Runner
	train, held        map[string]*Part
	panel              *Panel
}

// prepare reads the residual stream of all texts and embeds the panel with the untouched encoder.
func (l *experiment) prepare(ctx context.Context, st *store.Store, trained, untrained *sae.SAE, density []float64) (*prepared, error) {
	p := &prepared{experiment: l, trained: trained, untrained: untrained, train: map[string]*Part{}, held: map[string]*Part{}}
	var err error
	if p.acts, err = OpenActivations(ctx, st, l.cfg.Site); err != nil {
		return nil, err
	}
	const batch = 1024
	if p.runner, err = sae.NewRunner(l.Backend, trained, batch); err != nil {
		return nil, err
	}
	if p.control, err = sae.NewRunner(l.Backend, untrained, batch); err != nil {
		return nil, err
	}
	if err := p.readParts(); err != nil {
		return nil, err
	}
	if p.tail, err = NewTail(l.Engine, l.Model, l.cfg.layer(), p.buckets(), trained.DSAE, trained.K); err != nil {
		return nil, err
	}
	p.panel, err = p.makePanel(ctx, density)
	return p, err
}

func (p *prepared) close() error {
	p.runner.Close()
	p.control.Close()
	return nil
}
