package autoencoders

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/probe/capture"
	"loupe/sae"
)

// Dry estimates what a run would cost. The model is measured on one batch and every architecture on two training steps of
// random rows; evaluating and splicing are scaled from the model's speed by the number of multiplications, which is right
// within a factor of two or so.
func Dry(ctx context.Context, b compute.Backend, cfg *Config, opt lab.Options) (_ *lab.Plan, err error) {
	x, err := open(ctx, b, cfg, nil, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	conf, err := x.captureConfig()
	if err != nil {
		return nil, err
	}
	c, err := capture.New(x.Engine, x.Model, x.Tokenizer, x.corpus, conf)
	if err != nil {
		return nil, err
	}
	measured, err := c.Plan(ctx)
	if err != nil {
		return nil, err
	}
	p := lab.NewPlan(measured, conf.Store)
	if err := planTraining(ctx, p, x); err != nil {
		return nil, err
	}
	planMeasuring(p, x)
	return p, nil
}

// planTraining measures two steps of every architecture, the first of which compiles.
func planTraining(ctx context.Context, p *lab.Plan, x *experiment) error {
	d := x.Model.Spec.Width(x.site.Kind, x.cfg.Text.MaxLength)
	rng := rand.New(rand.NewPCG(1, 1))
	rows := make([]float32, x.cfg.Batch*d)
	for i := range rows {
		rows[i] = float32(rng.NormFloat64())
	}
	for i := range x.cfg.Architectures {
		a := &x.cfg.Architectures[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		cfg, err := x.cfg.member(a, 1).Config.Resolve(d)
		if err != nil {
			return fmt.Errorf("autoencoders: architecture %s: %w", a.name(), err)
		}
		t, err := sae.NewTrainer(x.Backend, cfg, rows)
		if err != nil {
			return err
		}
		took, err := secondStep(t, rows)
		t.Close()
		if err != nil {
			return err
		}
		n := len(x.cfg.Seeds)
		weights := 8 * int64(d) * int64(cfg.DSAE)
		p.Add("train "+a.name(), fmt.Sprintf("%d seeds, %d steps of %d tokens at %.0f tokens/s, %d latents", n, cfg.Steps(), cfg.Batch, float64(cfg.Batch)/took, cfg.DSAE),
			int64(n)*(1+2*3)*weights, float64(n)*float64(cfg.Steps())*took) // the result, and two checkpoints with both moments
	}
	return nil
}

// secondStep returns the seconds of a step that is compiled.
func secondStep(t *sae.Trainer, rows []float32) (float64, error) {
	var took time.Duration
	for range 2 {
		began := time.Now()
		if _, err := t.Step(rows); err != nil {
			return 0, err
		}
		took = time.Since(began)
	}
	return took.Seconds(), nil
}

// planMeasuring estimates what comes after training.
func planMeasuring(p *lab.Plan, x *experiment) {
	e := p.Capture.Estimate
	rate := e.FLOPs / p.Capture.Seconds // operations a second
	spec := x.Model.Spec
	d := float64(spec.Width(x.site.Kind, x.cfg.Text.MaxLength))
	encode := 2 * d * float64(x.cfg.DSAE) / rate // seconds a row
	n := len(x.cfg.Architectures)*len(x.cfg.Seeds) + len(x.cfg.Seeds) + 1
	held := x.cfg.Text.Corpus.HeldOut * float64(e.Rows)
	p.Add("evaluate", fmt.Sprintf("%d dictionaries, about %.0f rows", n, held), 0, float64(n)*held*2*encode)
	cells := float64(x.cfg.Splice.Texts * x.cfg.Text.MaxLength)
	forward := e.FLOPs / float64(max(e.Cells, 1)) * float64(spec.Layers) / float64(max(1, p.Capture.Layers)) / rate
	if !x.encoder {
		forward += 2 * float64(spec.DModel) * float64(spec.Vocab) / rate
	}
	passes := 2*n + 4
	p.Add("splice", fmt.Sprintf("%d dictionaries, %d texts, %d forward passes of %.0f tokens", n, x.cfg.Splice.Texts, passes, cells), 0, float64(passes)*cells*forward)
	texts := float64(x.cfg.Explain.Latents * 2 * x.cfg.Explain.Texts)
	times := 1.0
	if !x.encoder {
		times = 3 // alone, and with two descriptions
	}
	p.Add("explain", fmt.Sprintf("%d latents of one autoencoder, %.0f texts", x.cfg.Explain.Latents, texts), 0,
		float64(e.Rows)*encode+times*texts*float64(x.cfg.Text.MaxLength)*forward)
}
