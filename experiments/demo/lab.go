package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/gomlx/compute"

	"loupe/internal/expect"
	"loupe/internal/hub"
	"loupe/internal/progress"
	"loupe/internal/run"
	"loupe/probe/capture"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/probe/token"
)

// Options say where things go; they change no result.
type Options struct {
	Stores string    // folder of the activation stores, which runs with equal text, model and site share
	Err    io.Writer // receives progress; nil for none
	// Engine compiles the programs, so that runs can share them; nil makes one.
	Engine *model.Engine

	Expect  []expect.Line // expectations to judge
	Other   string        // why the expectations are not for this run's settings; "" when they are
	Command string        // command line, for the report
	YAML    []byte        // resolved configuration, for the report
}

func (o *Options) judge(got map[string]expect.Metric) []expect.Judgement {
	if o.Other != "" {
		return expect.Refuse(o.Expect, o.Other)
	}
	return expect.Judge(o.Expect, got)
}

// lab is what the steps share.
type lab struct {
	cfg    *Config
	opt    Options
	b      compute.Backend
	dir    *run.Dir // nil for a dry run
	engine *model.Engine
	model  *model.Model
	tok    *token.Tokenizer
	corpus *corpus

	compiles int // of the engine before this run
}

// openLab loads the model and opens the text. close frees the model.
func openLab(ctx context.Context, b compute.Backend, cfg *Config, dir *run.Dir, opt Options) (*lab, error) {
	l := &lab{cfg: cfg, opt: opt, b: b, dir: dir, engine: opt.Engine}
	if l.engine == nil {
		l.engine = model.NewEngine(b, nil)
	}
	l.compiles = l.engine.Compiles()
	path, err := hub.Resolve(ctx, cfg.Model, hub.Options{})
	if err != nil {
		return nil, err
	}
	if l.tok, err = token.Load(path); err != nil {
		return nil, err
	}
	if l.corpus, err = openCorpus(cfg); err != nil {
		return nil, err
	}
	if l.model, err = model.Load(ctx, b, path, model.Options{}); err != nil {
		return nil, err
	}
	if err := l.model.Spec.Has(model.Site{Kind: model.ResidPre, Layer: cfg.layer()}); err != nil {
		return nil, fmt.Errorf("demo: site: %w", err)
	}
	return l, nil
}

func (l *lab) close() error { return l.model.Params.Free() }

// progress shows how far a step is.
func (l *lab) progress(label, unit string, total int64) progress.Progress {
	o := progress.Options{Label: label, Unit: unit, Total: total, Out: l.opt.Err, Quiet: l.opt.Err == nil}
	if l.dir != nil {
		o.Log = l.dir.Log()
	}
	return progress.New(o)
}

// captureConfig is the capture of the site over all text.
func (c *Config) captureConfig(dir string) capture.Config {
	docs := text.DefaultCorpusConfig(text.KindGoRoot)
	docs.HeldOut, docs.Seed, docs.MaxDocs = c.Text.HeldOut, c.Seed, c.Text.MaxDocs
	out := capture.DefaultConfig()
	out.Model, out.Corpus, out.Store = c.Model, docs, dir
	out.Sites = []capture.SiteConfig{{Site: c.Site, Reduce: capture.Tokens, DType: c.Text.DType}}
	out.Labels = []string{"concept", "positive"}
	out.MaxLength, out.Overflow, out.BatchTokens = c.Text.MaxLength, capture.Truncate, 2048
	out.Moments.Keep = false
	return out
}

// storeDir is named by what the activations depend on, so that runs that differ elsewhere share it.
func (c *Config) storeDir(stores string) (string, error) {
	key, err := json.Marshal([]any{c.Model, c.Site, c.Text, c.Seed})
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	sum := sha256.Sum256(key)
	return filepath.Join(stores, c.Name+"-"+hex.EncodeToString(sum[:4])), nil
}

// capture fills the store, or goes on with it; a store that is complete is used as it is.
func (l *lab) capture(ctx context.Context) (capture.Summary, *store.Store, error) {
	dir, err := l.cfg.storeDir(l.opt.Stores)
	if err != nil {
		return capture.Summary{}, nil, err
	}
	c, err := capture.New(l.engine, l.model, l.tok, l.corpus, l.cfg.captureConfig(dir))
	if err != nil {
		return capture.Summary{}, nil, err
	}
	sum, err := c.Run(ctx, capture.RunOptions{Resume: true, Progress: func(total int64) progress.Progress {
		return l.progress("capture", "tokens", total)
	}})
	if err != nil {
		return sum, nil, err
	}
	st, err := store.Open(dir, store.OpenOptions{ModelDigest: l.model.Digest})
	if err != nil {
		return sum, nil, err
	}
	m := st.Manifest()
	for _, p := range []run.Ref{
		{Kind: "model", Name: l.model.Name, Digest: l.model.Digest}, {Kind: "store", Name: filepath.Base(dir), Digest: m.Digest},
	} {
		if err := l.dir.AddParent(p); err != nil {
			return sum, nil, err
		}
	}
	return sum, st, nil
}
