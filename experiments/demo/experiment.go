package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/probe/capture"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
)

// experiment is what the steps share.
type experiment struct {
	*lab.Lab
	cfg    *Config
	corpus *corpus
}

// open loads the model and opens the text. Close frees the model.
func open(ctx context.Context, b compute.Backend, cfg *Config, dir *run.Dir, opt lab.Options) (*experiment, error) {
	c, err := openCorpus(cfg)
	if err != nil {
		return nil, err
	}
	l, err := lab.Open(ctx, b, cfg.Model, dir, opt)
	if err != nil {
		return nil, err
	}
	if err := l.Model.Spec.Has(model.Site{Kind: model.ResidPre, Layer: cfg.layer()}); err != nil {
		return nil, errors.Join(fmt.Errorf("demo: site: %w", err), l.Close())
	}
	return &experiment{Lab: l, cfg: cfg, corpus: c}, nil
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

// storeDir is named by what the activations depend on.
func (c *Config) storeDir(stores string) (string, error) {
	return lab.StoreDir(stores, c.Name, c.Model, c.Site, c.Text, c.Seed)
}

// capture fills the store, or goes on with it; a store that is complete is used as it is.
func (l *experiment) capture(ctx context.Context) (capture.Summary, *store.Store, error) {
	dir, err := l.cfg.storeDir(l.Stores)
	if err != nil {
		return capture.Summary{}, nil, err
	}
	return l.Capture(ctx, l.corpus, l.cfg.captureConfig(dir))
}
