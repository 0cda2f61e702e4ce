package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/probe/capture"
	"loupe/probe/text"
)

// Dry estimates what a run would cost. The speed of the encoder is measured on one batch; the rest is scaled from it by
// the number of multiplications, which is right within a factor of two or so.
func Dry(ctx context.Context, b compute.Backend, cfg *Config, opt lab.Options) (_ *lab.Plan, err error) {
	l, err := open(ctx, b, cfg, nil, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	dir, err := cfg.storeDir(opt.Stores)
	if err != nil {
		return nil, err
	}
	c, err := capture.New(l.Engine, l.Model, l.Tokenizer, l.corpus, cfg.captureConfig(dir))
	if err != nil {
		return nil, err
	}
	measured, err := c.Plan(ctx)
	if err != nil {
		return nil, err
	}
	p := lab.NewPlan(measured, dir)
	sae, err := cfg.SAE.Resolve(l.Model.Spec.DModel)
	if err != nil {
		return nil, err
	}
	e := p.Capture.Estimate
	rate := e.FLOPs / p.Capture.Seconds // operations a second
	dense := 4 * float64(sae.DIn) * float64(sae.DSAE)
	held := 0
	for _, s := range l.corpus.sentences {
		if s.Split == text.HeldOut {
			held++
		}
	}
	panel := float64(held + cfg.Splice.Documents)
	const perText, passes = 24, 3 // padded tokens of a text; encoder, decoder twice
	tail := e.FLOPs / float64(e.Tokens) * float64(l.Model.Spec.Layers-cfg.layer()) / float64(max(1, cfg.layer()))
	text := perText * (tail + passes*dense/2) / rate
	sets := float64(len(cfg.Text.Concepts) * (1 + 2*cfg.Ablate.Random))
	weights := 8 * int64(sae.DIn) * int64(sae.DSAE)
	p.Add("train", fmt.Sprintf("%d steps of %d tokens, %d latents, k %d", sae.Steps(), sae.Batch, sae.DSAE, sae.K), 8*weights,
		float64(sae.Steps())*float64(sae.Batch)*1.5*dense/rate)
	p.Add("evaluate", fmt.Sprintf("about %.0f tokens", cfg.Text.HeldOut*float64(e.Tokens)), weights, cfg.Text.HeldOut*float64(e.Tokens)*dense/rate)
	p.Add("splice", fmt.Sprintf("%.0f texts, 3 conditions", panel), 0, 3*panel*text)
	p.Add("detect", fmt.Sprintf("%d concepts, %d shuffles", len(cfg.Text.Concepts), cfg.Detect.Shuffles), 0, float64(len(cfg.Text.Concepts))*(1+0.005*float64(cfg.Detect.Shuffles)))
	p.Add("ablate", fmt.Sprintf("%.0f sets of %d latents", sets, cfg.Detect.Latents), 0, sets*0.15*panel*text)
	return p, nil
}
