package autoencoders

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/internal/lab"
	"loupe/probe/store"
	"loupe/sae"
)

// Names of the controls, in tables, metrics and steps.
const (
	random = "random"
	pca    = "pca"
)

// dictionary is what is evaluated and spliced: a trained autoencoder or a control.
type dictionary struct {
	method string // the architecture's or control's name
	name   string // with the seed, where there are several
	seed   uint64
	width  int // number of latents
	open   func() (sae.Reconstructor, func(), error)
}

// dictionaries lists the trained autoencoders and then the controls. Their weights are read when they are opened, so that
// one is in memory at a time.
func (x *experiment) dictionaries(base *Base) []dictionary {
	const rows = 1024
	runner := func(s *sae.SAE, err error) (sae.Reconstructor, func(), error) {
		if err != nil {
			return nil, nil, err
		}
		r, err := sae.NewRunner(x.Backend, s, rows)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	var out []dictionary
	for i := range x.cfg.Architectures {
		a := &x.cfg.Architectures[i]
		for _, seed := range x.cfg.Seeds {
			name := memberName(a.name(), seed)
			out = append(out, dictionary{a.name(), name, seed, x.cfg.DSAE, func() (sae.Reconstructor, func(), error) {
				return runner(sae.Load(x.Dir.File(weights(name))))
			}})
		}
	}
	for _, seed := range x.cfg.Seeds {
		out = append(out, dictionary{random, memberName(random, seed), seed, x.cfg.DSAE, func() (sae.Reconstructor, func(), error) {
			return runner(sae.RandomControl(rand.New(rand.NewPCG(seed, 0xc0de)), base.mean(), x.cfg.DSAE, x.cfg.TargetL0))
		}})
	}
	return append(out, dictionary{pca, pca, 0, base.PCA.K, func() (sae.Reconstructor, func(), error) {
		return base.PCA, func() {}, nil
	}})
}

// Base is what the controls are made of: the principal components of the training rows and their mean.
type Base struct {
	Rows int      `json:"rows"` // training rows that were read
	PCA  *sae.PCA `json:"pca"`
}

// mean is that of the training rows, [d].
func (b *Base) mean() []float32 {
	out := make([]float32, len(b.PCA.Mean))
	for i, v := range b.PCA.Mean {
		out[i] = float32(v)
	}
	return out
}

// base reads a sample of the training rows and keeps as many principal components as autoencoders have active latents.
func (x *experiment) base(ctx context.Context, st *store.Store) (*Base, error) {
	return lab.Step(x.Dir, "controls", func() (*Base, error) {
		src, err := sae.NewStoreSource(ctx, st, []string{x.cfg.Site}, x.training(), x.cfg.Seed)
		if err != nil {
			return nil, err
		}
		n := int(min(int64(x.cfg.Controls.Rows), src.Count()))
		d := src.Sites()[0].Width
		rows := make([]float32, n*d)
		if err := src.Batch(make([]int64, n), [][]float32{rows}); err != nil {
			return nil, err
		}
		k := int(x.cfg.TargetL0 + 0.5)
		if k > d {
			return nil, fmt.Errorf("autoencoders: PCA of equal dimension has %d components of %d; lower train.target_l0", k, d)
		}
		sum, cross := moments(rows, d)
		p, err := sae.NewPCA(float64(n), sum, cross, k)
		return &Base{Rows: n, PCA: p}, err
	})
}
