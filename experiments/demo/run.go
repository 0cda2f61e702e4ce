package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/gomlx/compute"

	"loupe/internal/run"
	"loupe/probe/store"
	"loupe/sae"
)

// Run does the whole experiment in a run folder. Steps that a killed run has finished are not done again: the store and
// the training go on where they stood, later steps are read back. The caller finishes the folder.
func Run(ctx context.Context, b compute.Backend, cfg *Config, dir *run.Dir, opt Options) (_ *Result, err error) {
	l, err := openLab(ctx, b, cfg, dir, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r := &Result{Folder: dir.Path(), Model: l.model.Name, Site: cfg.Site}
	clock := timer{result: r, last: time.Now()}

	sum, st, err := l.capture(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	r.Store, r.Rows = sum.Store, st.Rows()
	clock.done("capture", sum.AlreadyComplete)

	trained, untrained, err := l.train(ctx, st)
	if err != nil {
		return nil, err
	}
	r.DSAE, r.K, r.Tokens = trained.DSAE, trained.K, cfg.SAE.Steps()*int64(cfg.SAE.Batch)
	clock.done("train", false)

	if r.SAE, err = l.evaluate(ctx, st, trained); err != nil {
		return nil, err
	}
	clock.done("evaluate", false)

	p, err := l.prepare(ctx, st, trained, untrained, r.SAE.Density)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	clock.done("embed", false)
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"splice", func() error {
			return step(dir, "splice", &r.Splice, func() (*SpliceResult, error) { return p.splice(ctx) })
		}},
		{"detect", func() error {
			return step(dir, "detect", &r.Concepts, func() ([]*Detection, error) { return p.detect(ctx) })
		}},
		{"ablate", func() error {
			return step(dir, "ablate", &r.Ablations, func() ([]*Ablation, error) { return p.ablate(ctx, r.Concepts) })
		}},
	} {
		if err := s.do(); err != nil {
			return nil, err
		}
		clock.done(s.name, false)
	}
	r.Compiles = l.engine.Compiles() - l.compiles
	got, err := r.metrics(ctx, cfg.Seed)
	if err != nil {
		return nil, err
	}
	r.Metrics, r.Expected, r.Other = named(got), opt.judge(got), opt.Other
	if err := r.writeTables(dir); err != nil {
		return nil, err
	}
	return r, r.writeReport(dir, cfg, opt)
}

// timer notes how long each step took, for the summary and the log alone.
type timer struct {
	result *Result
	last   time.Time
}

func (t *timer) done(name string, reused bool) {
	now := time.Now()
	t.result.Times = append(t.result.Times, StepTime{Step: name, Seconds: now.Sub(t.last).Seconds(), Reused: reused})
	t.last = now
}

// step reads a finished step's result back from the run folder, or computes it and keeps it there.
func step[T any](dir *run.Dir, name string, to *T, do func() (T, error)) error {
	rel := "steps/" + name + ".json"
	raw, err := os.ReadFile(dir.File(rel))
	switch {
	case err == nil:
		if err := json.Unmarshal(raw, to); err != nil {
			return fmt.Errorf("demo: %s: %w; delete the file to do the step again", dir.File(rel), err)
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("demo: %w", err)
	}
	if *to, err = do(); err != nil {
		return err
	}
	return dir.Write(rel, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(*to)
	})
}

// prepared is what splice, detect and ablate share.
type prepared struct {
	*lab
	acts               *Activations
	tail               *Tail
	trained, untrained *sae.SAE
	runner, control    *sae.Runner
	train, held        map[string]*Part
	panel              *Panel
}

// prepare reads the residual stream of all texts and embeds the panel with the untouched encoder.
func (l *lab) prepare(ctx context.Context, st *store.Store, trained, untrained *sae.SAE, density []float64) (*prepared, error) {
	p := &prepared{lab: l, trained: trained, untrained: untrained, train: map[string]*Part{}, held: map[string]*Part{}}
	var err error
	if p.acts, err = OpenActivations(ctx, st, l.cfg.Site); err != nil {
		return nil, err
	}
	const batch = 1024
	if p.runner, err = sae.NewRunner(l.b, trained, batch); err != nil {
		return nil, err
	}
	if p.control, err = sae.NewRunner(l.b, untrained, batch); err != nil {
		return nil, err
	}
	if err := p.readParts(); err != nil {
		return nil, err
	}
	if p.tail, err = NewTail(l.engine, l.model, l.cfg.layer(), p.buckets(), trained.DSAE, trained.K); err != nil {
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
