package lab

import (
	"context"

	"github.com/gomlx/compute"

	"loupe/internal/hub"
	"loupe/internal/progress"
	"loupe/internal/run"
	"loupe/probe/model"
	"loupe/probe/token"
)

// Lab is what the steps of an experiment share. Close frees the model.
type Lab struct {
	Options
	Backend   compute.Backend
	Dir       *run.Dir // nil for a dry run
	Engine    *model.Engine
	Model     *model.Model
	Tokenizer *token.Tokenizer

	compiles int // of the engine before this run
}

// Open loads a model, by folder or hub id, and its tokenizer. dir is nil for a dry run.
func Open(ctx context.Context, b compute.Backend, ref string, dir *run.Dir, opt Options) (*Lab, error) {
	l := &Lab{Options: opt, Backend: b, Dir: dir, Engine: opt.Engine}
	if l.Engine == nil {
		l.Engine = model.NewEngine(b, nil)
	}
	l.compiles = l.Engine.Compiles()
	path, err := hub.Resolve(ctx, ref, hub.Options{})
	if err != nil {
		return nil, err
	}
	if l.Tokenizer, err = token.Load(path); err != nil {
		return nil, err
	}
	if l.Model, err = model.Load(ctx, b, path, model.Options{}); err != nil {
		return nil, err
	}
	return l, nil
}

// Close frees the model's weights.
func (l *Lab) Close() error { return l.Model.Params.Free() }

// Compiles is the number of programs that were compiled since Open.
func (l *Lab) Compiles() int { return l.Engine.Compiles() - l.compiles }

// Progress shows how far a step is.
func (l *Lab) Progress(label, unit string, total int64) progress.Progress {
	o := progress.Options{Label: label, Unit: unit, Total: total, Out: l.Err, Quiet: l.Err == nil}
	if l.Dir != nil {
		o.Log = l.Dir.Log()
	}
	return progress.New(o)
}
