package training

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/gomlx/compute"

	"loupe/internal/run"
	"loupe/probe/capture"
	"loupe/probe/store"
	"loupe/sae"
)

// storeData are the activations of a store.
type storeData struct {
	cfg   *Config
	store *store.Store
}

func openStore(cfg *Config) (data, error) {
	st, err := store.Open(cfg.Store, store.OpenOptions{})
	if err != nil {
		return nil, err
	}
	return storeData{cfg, st}, nil
}

func (d storeData) source(ctx context.Context, split string, sites []string, seed uint64, once bool) (sae.Source, func(), error) {
	if tokens := d.cfg.sequence(); tokens > 0 {
		src, err := sae.NewSequenceSource(ctx, d.store, sites, d.cfg.selection(split), tokens, seed)
		if err != nil || !once {
			return src, func() {}, err
		}
		return &limited{Source: src, left: src.Count()}, func() {}, nil
	}
	src, err := sae.NewStoreSource(ctx, d.store, sites, d.cfg.selection(split), seed)
	if err != nil {
		return nil, nil, err
	}
	if once { // an evaluation
		return &limited{Source: src, left: src.Count()}, func() {}, nil
	}
	return src, func() {}, src.Weigh(ctx, d.cfg.Weights)
}

func (d storeData) sample(ctx context.Context, sites []string) (sae.Source, func(), error) {
	return d.source(ctx, d.cfg.Split, sites, d.cfg.Seed, false)
}

func (d storeData) cost(ctx context.Context) (dataCost, error) {
	set, err := d.store.Select(ctx, d.cfg.selection(d.cfg.Split))
	if err != nil {
		return dataCost{}, err
	}
	return dataCost{rows: set.Len()}, nil
}

func (d storeData) names() (model, corpus string) {
	m := d.store.Manifest()
	return m.Model.ID, m.Corpus.ID
}

func (d storeData) parents() ([]run.Ref, error) {
	return []run.Ref{{Kind: "store", Name: filepath.Base(d.cfg.Store), Digest: d.store.Manifest().Digest}}, nil
}

func (d storeData) close() error { return d.store.Close() }

// limited ends a source after a number of rows.
type limited struct {
	sae.Source
	left int64
}

// Context is the length of the sequences that the source's rows come in, 0 for none.
func (l *limited) Context() int {
	if s, ok := l.Source.(interface{ Context() int }); ok {
		return s.Context()
	}
	return 0
}

// Next implements [sae.Source].
func (l *limited) Next(dst [][]float32) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	short := make([][]float32, len(dst))
	for i, s := range l.Sites() {
		short[i] = dst[i][:min(int64(len(dst[i])), l.left*int64(s.Width))]
	}
	n, err := l.Source.Next(short)
	l.left -= int64(n)
	return n, err
}

// modelData are the activations of a model that reads a corpus.
type modelData struct {
	cfg     *Config
	capture *capture.Capture
}

func openModel(ctx context.Context, b compute.Backend, cfg *Config, sites []string, log *slog.Logger) (data, error) {
	c := capture.DefaultConfig()
	c.Reading = cfg.Reading
	for _, name := range sites {
		c.Sites = append(c.Sites, capture.SiteConfig{Site: name, Reduce: capture.Tokens, DType: string(store.Float32)})
	}
	cap, err := capture.Open(ctx, b, c, log)
	if err != nil {
		return nil, err
	}
	return modelData{cfg, cap}, nil
}

// source serves all sites, whichever are named: one pass of the model gives them all.
func (d modelData) source(ctx context.Context, split string, _ []string, seed uint64, once bool) (sae.Source, func(), error) {
	src, err := NewStreamSource(ctx, d.capture, StreamConfig{Select: d.cfg.selection(split), Seed: seed, Buffer: d.cfg.Buffer, Once: once})
	if err != nil {
		return nil, nil, err
	}
	return src, src.Close, nil
}

// sample mixes no more rows than a batch, so that the model computes no more.
func (d modelData) sample(ctx context.Context, _ []string) (sae.Source, func(), error) {
	src, err := NewStreamSource(ctx, d.capture, StreamConfig{Select: d.cfg.selection(d.cfg.Split), Seed: d.cfg.Seed, Buffer: d.cfg.Batch})
	if err != nil {
		return nil, nil, err
	}
	return src, src.Close, nil
}

func (d modelData) cost(ctx context.Context) (dataCost, error) {
	plan, err := d.capture.Plan(ctx)
	if err != nil {
		return dataCost{}, err
	}
	out := dataCost{rows: plan.Estimate.Rows, buffer: d.cfg.Buffer}
	if plan.PerSecond > 0 {
		out.perRow = 1 / plan.PerSecond
	}
	return out, nil
}

func (d modelData) names() (model, corpus string) {
	return d.capture.ModelID(), d.capture.CorpusName()
}

func (d modelData) parents() ([]run.Ref, error) {
	digest, err := d.capture.CorpusDigest()
	if err != nil {
		return nil, err
	}
	model, corpus := d.names()
	return []run.Ref{{Kind: "model", Name: model, Digest: d.capture.ModelDigest()}, {Kind: "corpus", Name: corpus, Digest: digest}}, nil
}

func (d modelData) close() error { return d.capture.Close() }
