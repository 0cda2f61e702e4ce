package attributiongraph

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/circuits/tracing"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/sae"
)

// named is a dictionary that is judged; of controls only the scores are.
type named struct {
	name       string
	dictionary *tracing.Dictionary
	control    bool
	layerwise  bool // a layer can be encoded alone, so that the replaced model can be run
}

// dictionaries trains transcoders and a cross-layer transcoder, and makes the control: the transcoders with their decoder rows permuted, so that
// the same features fire as strongly and write another's direction.
func (c *Config) dictionaries(ctx context.Context, s *study.Session, e *model.Engine, m *model.Model) ([]named, error) {
	layers, all, err := c.activations(ctx, e, m)
	if err != nil {
		return nil, err
	}
	var trained, permuted []*sae.SAE
	for l, data := range layers {
		t, err := c.train(ctx, s, sae.ArchTopKTranscoder, data, 2*c.DModel, 0)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", l, err)
		}
		coder, err := t.SAE()
		t.Close()
		if err != nil {
			return nil, err
		}
		if err := c.unexplained(ctx, s, fmt.Sprintf("transcoder%d", l), coder, data, 2*c.DModel); err != nil {
			return nil, err
		}
		trained, permuted = append(trained, coder), append(permuted, permute(coder, uint64(c.Seed)))
	}
	t, err := c.train(ctx, s, sae.ArchTopKCLT, all, 2*c.DModel*c.Layers, c.Layers)
	if err != nil {
		return nil, fmt.Errorf("cross-layer transcoder: %w", err)
	}
	clt, err := t.CLT()
	t.Close()
	if err != nil {
		return nil, err
	}
	if err := c.unexplained(ctx, s, "clt", clt, all, 2*c.DModel*c.Layers); err != nil {
		return nil, err
	}
	var out []named
	add := func(name string, control, layerwise bool, d *tracing.Dictionary, err error) error {
		out = append(out, named{name, d, control, layerwise})
		return err
	}
	d, err := tracing.Transcoders(m.Spec, trained)
	if err := add("transcoders", false, true, d, err); err != nil {
		return nil, err
	}
	d, err = tracing.CrossLayer(m.Spec, clt)
	if err := add("clt", false, false, d, err); err != nil {
		return nil, err
	}
	d, err = tracing.Transcoders(m.Spec, permuted)
	return out, add("permuted", true, true, d, err)
}

// train trains a transcoder on rows of inputs and targets.
func (c *Config) train(ctx context.Context, s *study.Session, arch string, data []float32, width, layers int) (*sae.Trainer, error) {
	cfg := sae.DefaultsFor(arch)
	cfg.Layers, cfg.DIn, cfg.DOut, cfg.DSAE, cfg.K = layers, c.DModel, c.DModel, c.Latents, c.K
	if layers > 0 {
		cfg.K *= layers // over all layers
	}
	cfg.Tokens, cfg.Batch, cfg.Seed, cfg.Engine = c.Tokens, 256, uint64(c.Seed), sae.EngineHost
	if layers > 0 {
		cfg.Engine = sae.EngineDense
	}
	cfg.InitRows, cfg.CheckpointTokens, cfg.LR = 2048, 1<<40, 3e-3
	cfg, err := cfg.Resolve(c.DModel * max(layers, 1))
	if err != nil {
		return nil, err
	}
	rows, err := sae.NewMemoryRows(data, width, uint64(c.Seed), 0)
	if err != nil {
		return nil, err
	}
	t, err := sae.Start(s.Backend(), cfg, rows)
	if err != nil {
		return nil, err
	}
	if err := t.Train(ctx, rows, sae.TrainOptions{}); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// unexplained is the share of the variance of the targets that a coder leaves, on rows of inputs and targets.
func (c *Config) unexplained(ctx context.Context, s *study.Session, name string, coder sae.Coder, data []float32, width int) error {
	rows, err := sae.NewMemoryRows(data, width, 0, 1)
	if err != nil {
		return err
	}
	r, err := sae.EvaluateCoder(ctx, s.Backend(), coder, rows, 1024, 0)
	if err != nil {
		return err
	}
	s.Value(name+".fvu", r.FVU)
	s.Text("%s: %.1f latents are active in a row and leave %.4f of the variance of what is written; %d of %d are dead.", name, r.L0, r.FVU, r.Dead, coder.Shape().Latents)
	return nil
}

// permute is the coder with its decoder rows in another order.
func permute(coder *sae.SAE, seed uint64) *sae.SAE {
	out := *coder
	out.WDec = make([]float32, 0, len(coder.WDec))
	for _, i := range rand.New(rand.NewPCG(seed, 97)).Perm(coder.DSAE) {
		out.WDec = append(out.WDec, coder.Decoder(i)...)
	}
	return &out
}
