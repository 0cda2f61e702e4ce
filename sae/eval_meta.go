package sae

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/compute"
)

// MetaConfig sizes a meta-SAE.
type MetaConfig struct {
	Width int     `json:"width" yaml:"width"` // meta-latents
	K     int     `json:"k" yaml:"k"`         // meta-latents a decoder row, on average
	Steps int     `json:"steps" yaml:"steps"`
	Batch int     `json:"batch" yaml:"batch"`
	LR    float64 `json:"lr" yaml:"lr"`
	Seed  uint64  `json:"seed" yaml:"seed"`
}

// DefaultMetaConfig returns SAEBench's sizes for a dictionary of f latents: a quarter of the width, k = 4, 1,500 steps.
func DefaultMetaConfig(f int) MetaConfig {
	return MetaConfig{Width: max(1, f/4), K: 4, Steps: 1500, Batch: min(f, 2048), LR: 1e-3, Seed: 1}
}

// Validate names the field that is out of range.
func (c MetaConfig) Validate() error {
	if c.Width < 1 || c.K < 1 || c.K > c.Width || c.Steps < 1 || c.Batch < 1 || !(c.LR > 0) {
		return fmt.Errorf("sae: meta-SAE: width %d, k %d, steps %d, batch %d, lr %v: all must be positive and k at most the width", c.Width, c.K, c.Steps, c.Batch, c.LR)
	}
	return nil
}

// MetaReport says how well few meta-latents rebuild decoder rows: the lower, the more atomic the latents.
type MetaReport struct {
	Explained float64 `json:"explained_variance"`        // of the unit decoder rows, by the meta-SAE
	Random    float64 `json:"explained_variance_random"` // of as many random directions, by a meta-SAE trained on them
	L0        float64 `json:"l0"`                        // of the meta-SAE on the decoder rows
	RandomL0  float64 `json:"l0_random"`
	SAE       *SAE    `json:"-"`
}

// MetaSAE trains a BatchTopK autoencoder on the rows of decoder, [F, d], scaled to norm 1, and on random directions of the
// same number as control (Leask et al., arXiv:2502.04878; SAEBench).
func MetaSAE(ctx context.Context, b compute.Backend, decoder []float32, d int, cfg MetaConfig) (MetaReport, error) {
	if err := cfg.Validate(); err != nil {
		return MetaReport{}, err
	}
	if d < 1 || len(decoder) < 2*d || len(decoder)%d != 0 {
		return MetaReport{}, fmt.Errorf("sae: meta-SAE: %d decoder values are not two rows or more of width %d", len(decoder), d)
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x6d657461))
	random := make([]float32, len(decoder))
	for i := range random {
		random[i] = float32(rng.NormFloat64())
	}
	var r MetaReport
	var err error
	var own, control Result
	if own, r.SAE, err = metaExplained(ctx, b, decoder, d, cfg); err != nil {
		return MetaReport{}, err
	}
	if control, _, err = metaExplained(ctx, b, random, d, cfg); err != nil {
		return MetaReport{}, err
	}
	r.Explained, r.L0, r.Random, r.RandomL0 = own.Explained, own.L0, control.Explained, control.L0
	return r, nil
}

// metaExplained trains on unit rows and measures all of them.
func metaExplained(ctx context.Context, b compute.Backend, directions []float32, d int, meta MetaConfig) (Result, *SAE, error) {
	rows := append([]float32{}, directions...)
	for i := range len(rows) / d {
		unit(rows[i*d : (i+1)*d])
	}
	cfg := DefaultConfig()
	cfg.Arch = ArchBatchTopK
	cfg.DSAE, cfg.K, cfg.Batch, cfg.LR, cfg.Seed = meta.Width, meta.K, meta.Batch, meta.LR, meta.Seed
	cfg.Tokens = int64(meta.Steps) * int64(meta.Batch)
	cfg.DeadTokens = min(cfg.DeadTokens, cfg.Tokens/10+1)
	cfg.InitRows, cfg.Engine = min(cfg.InitRows, len(rows)/d), EngineHybrid // too small to be worth a choice
	cfg, err := cfg.Resolve(d)
	if err != nil {
		return Result{}, nil, fmt.Errorf("sae: meta-SAE: %w", err)
	}
	source, err := NewMemoryRows(rows, d, meta.Seed+1, 0)
	if err != nil {
		return Result{}, nil, fmt.Errorf("sae: meta-SAE: %w", err)
	}
	tr, err := Start(b, cfg, source)
	if err != nil {
		return Result{}, nil, fmt.Errorf("sae: meta-SAE: %w", err)
	}
	defer tr.Close()
	if err := tr.Train(ctx, source, TrainOptions{}); err != nil {
		return Result{}, nil, fmt.Errorf("sae: meta-SAE: %w", err)
	}
	s, err := tr.SAE()
	if err != nil {
		return Result{}, nil, fmt.Errorf("sae: meta-SAE: %w", err)
	}
	once, err := NewMemoryRows(rows, d, 0, 1)
	if err != nil {
		return Result{}, nil, fmt.Errorf("sae: meta-SAE: %w", err)
	}
	r, err := Evaluate(ctx, b, s, once, min(meta.Batch, len(rows)/d), 0)
	if err != nil {
		return Result{}, nil, fmt.Errorf("sae: meta-SAE: %w", err)
	}
	return r, s, nil
}
