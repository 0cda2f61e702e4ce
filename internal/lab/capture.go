package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"loupe/internal/progress"
	"loupe/internal/run"
	"loupe/probe/capture"
	"loupe/probe/store"
	"loupe/probe/text"
)

// StoreDir is the folder of a store below stores, named by what its activations depend on, so that runs that differ
// elsewhere share it.
func StoreDir(stores, name string, dependsOn ...any) (string, error) {
	key, err := json.Marshal(dependsOn)
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	sum := sha256.Sum256(key)
	return filepath.Join(stores, name+"-"+hex.EncodeToString(sum[:4])), nil
}

// Capture fills the store of cfg, or goes on with it; a store that is complete is used as it is. Model and store become
// parents of the run.
func (l *Lab) Capture(ctx context.Context, corpus text.Corpus, cfg capture.Config) (capture.Summary, *store.Store, error) {
	c, err := capture.New(l.Engine, l.Model, l.Tokenizer, corpus, cfg)
	if err != nil {
		return capture.Summary{}, nil, err
	}
	sum, err := c.Run(ctx, capture.RunOptions{Resume: true, Progress: func(total int64) progress.Progress {
		return l.Progress("capture", "tokens", total)
	}})
	if err != nil {
		return sum, nil, err
	}
	st, err := store.Open(cfg.Store, store.OpenOptions{ModelDigest: l.Model.Digest})
	if err != nil {
		return sum, nil, err
	}
	for _, p := range []run.Ref{
		{Kind: "model", Name: l.Model.Name, Digest: l.Model.Digest}, {Kind: "store", Name: filepath.Base(cfg.Store), Digest: st.Manifest().Digest},
	} {
		if err := l.Dir.AddParent(p); err != nil {
			return sum, nil, err
		}
	}
	return sum, st, nil
}
