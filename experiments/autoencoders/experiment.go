package autoencoders

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
	site   model.Site
	corpus text.Corpus
	// encoder tells that the model is a text encoder, whose sentence embeddings are compared; else its losses are.
	encoder bool
}

// open loads the model and opens the text. Close frees the model.
func open(ctx context.Context, b compute.Backend, cfg *Config, dir *run.Dir, opt lab.Options) (*experiment, error) {
	site, err := model.ParseSite(cfg.Site)
	if err != nil {
		return nil, err
	}
	c, err := text.Open(cfg.Text.Corpus)
	if err != nil {
		return nil, err
	}
	l, err := lab.Open(ctx, b, cfg.Model, dir, opt)
	if err != nil {
		return nil, err
	}
	if err := l.Model.Spec.Has(site); err != nil {
		return nil, errors.Join(fmt.Errorf("autoencoders: site: %w", err), l.Close())
	}
	encoder := l.Model.Spec.Has(model.Site{Kind: model.Sentence}) == nil
	return &experiment{Lab: l, cfg: cfg, site: site, corpus: c, encoder: encoder}, nil
}

// captureConfig is the capture of the site over the corpus, into a store that is named by what it depends on.
func (x *experiment) captureConfig() (capture.Config, error) {
	dir, err := lab.StoreDir(x.Stores, x.cfg.Name, x.cfg.Model, x.cfg.Site, x.cfg.Text.Corpus, x.cfg.Text.MaxLength, x.cfg.Text.DType, x.cfg.Text.BOS)
	if err != nil {
		return capture.Config{}, err
	}
	out := capture.DefaultConfig()
	out.Model, out.Corpus, out.Store = x.cfg.Model, x.cfg.Text.Corpus, dir
	out.Sites = []capture.SiteConfig{{Site: x.cfg.Site, Reduce: capture.Tokens, DType: x.cfg.Text.DType}}
	out.MaxLength, out.Overflow, out.BOS, out.BatchTokens = x.cfg.Text.MaxLength, capture.Truncate, x.cfg.Text.BOS, 2048
	out.Moments.Keep = false
	return out, nil
}

// capture fills the store, or goes on with it; a store that is complete is used as it is.
func (x *experiment) capture(ctx context.Context) (capture.Summary, *store.Store, error) {
	cfg, err := x.captureConfig()
	if err != nil {
		return capture.Summary{}, nil, err
	}
	return x.Capture(ctx, x.corpus, cfg)
}

// training is the rows that are trained on.
func (x *experiment) training() store.Select {
	return store.Select{Split: text.Train, ExcludeSpecial: !x.cfg.Text.Special, FromPos: int32(x.cfg.Text.FromPos)}
}
