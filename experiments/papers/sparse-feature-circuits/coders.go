package sparsefeaturecircuits

import (
	"context"
	"errors"
	"fmt"

	"loupe/internal/lab"
	"loupe/probe/capture"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/sae"
	"loupe/sae/training"
)

// Text says what the autoencoders read: the documentation of Go's standard library, captured once and read as often as sae.tokens asks for.
type Text struct {
	Tokens    int64 `json:"tokens" doc:"tokens of text that the model reads"`
	MaxLength int   `json:"max_length" doc:"tokens; longer documents are cut"`
	Eval      int64 `json:"eval" doc:"held-out rows to measure the autoencoders on"`
}

// DefaultText is a small text.
func DefaultText() Text { return Text{Tokens: 50_000, MaxLength: 64, Eval: 4000} }

// Coder is a trained autoencoder of a site.
type Coder struct {
	Site string
	SAE  *sae.SAE
	FVU  float64 // on held-out rows
	L0   float64
}

// Train trains an autoencoder for each site in one pass over one store, which it returns, in the run folder.
func Train(ctx context.Context, l *lab.Lab, ref string, t Text, c sae.Config, sites []string, seed int64) (out []Coder, st *store.Store, err error) {
	docs := text.DefaultCorpusConfig(text.KindGoRoot)
	docs.HeldOut, docs.Seed = 0.1, seed
	dir, err := lab.StoreDir(l.Stores, "sparse-feature-circuits", ref, sites, t, seed)
	if err != nil {
		return nil, nil, err
	}
	read := capture.DefaultConfig()
	read.Model, read.Corpus, read.Store = ref, docs, dir
	for _, site := range sites {
		read.Sites = append(read.Sites, capture.SiteConfig{Site: site, Reduce: capture.Tokens, DType: "float32"})
	}
	read.MaxLength, read.Overflow, read.BatchTokens, read.MaxTokens = t.MaxLength, capture.Truncate, 2048, t.Tokens
	read.Moments.Keep = false
	corpus, err := text.Open(docs)
	if err != nil {
		return nil, nil, err
	}
	if _, st, err = l.Capture(ctx, corpus, read); err != nil {
		return nil, nil, err
	}
	cfg := training.DefaultConfig()
	cfg.Name, cfg.Store, cfg.Split, cfg.EvalSplit, cfg.EvalTokens, cfg.MetricsEvery = "coders", dir, text.Train, text.HeldOut, t.Eval, 50
	cfg.ExcludePositions = []int32{0} // the attention sink: its norm hides every other token's variance
	cfg.Grid = training.Grid{Sites: sites, Config: c}
	job, err := training.Open(ctx, l.Backend, &cfg, l.Dir.Log())
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, job.Close()) }()
	report, err := job.Run(ctx, l.Dir, training.RunOptions{})
	if err != nil {
		return nil, nil, err
	}
	if len(report.SAEs) != len(sites) {
		return nil, nil, fmt.Errorf("sparse-feature-circuits: %d autoencoders for %d sites", len(report.SAEs), len(sites))
	}
	for i, o := range report.SAEs {
		s, err := sae.Load(o.Path)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, Coder{sites[i], s, o.Result.Sites[0].FVU, o.Result.L0})
	}
	return out, st, nil
}
