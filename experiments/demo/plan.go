package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/probe/capture"
	"loupe/probe/text"
)

// Plan is what a run would do and cost.
type Plan struct {
	Steps   []PlanStep   `json:"steps"`
	Seconds float64      `json:"seconds"` // estimated for all steps
	Capture capture.Plan `json:"capture"` // measured on one batch
}

// PlanStep is a step with its size and its estimated time.
type PlanStep struct {
	Step    string  `json:"step"`
	Work    string  `json:"work"`
	Bytes   int64   `json:"bytes"` // on disk
	Seconds float64 `json:"seconds"`
}

// Dry estimates what a run would cost. The speed of the encoder is measured on one batch; the rest is scaled from it by
// the number of multiplications, which is right within a factor of two or so.
func Dry(ctx context.Context, b compute.Backend, cfg *Config, opt lab.Options) (_ *Plan, err error) {
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
	p := &Plan{}
	if p.Capture, err = c.Plan(ctx); err != nil {
		return nil, err
	}
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
	add := func(step, work string, bytes int64, seconds float64) {
		p.Steps = append(p.Steps, PlanStep{step, work, bytes, seconds})
		p.Seconds += seconds
	}
	work := fmt.Sprintf("%d tokens of %d documents to %s", e.Tokens, p.Capture.Documents, dir)
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
		add("capture", work+" (there already)", p.Capture.Bytes, 0)
	} else {
		add("capture", work, p.Capture.Bytes, p.Capture.Seconds)
	}
	weights := 8 * int64(sae.DIn) * int64(sae.DSAE)
	add("train", fmt.Sprintf("%d steps of %d tokens, %d latents, k %d", sae.Steps(), sae.Batch, sae.DSAE, sae.K), 8*weights,
		float64(sae.Steps())*float64(sae.Batch)*1.5*dense/rate)
	add("evaluate", fmt.Sprintf("about %.0f tokens", cfg.Text.HeldOut*float64(e.Tokens)), weights, cfg.Text.HeldOut*float64(e.Tokens)*dense/rate)
	add("splice", fmt.Sprintf("%.0f texts, 3 conditions", panel), 0, 3*panel*text)
	add("detect", fmt.Sprintf("%d concepts, %d shuffles", len(cfg.Text.Concepts), cfg.Detect.Shuffles), 0, float64(len(cfg.Text.Concepts))*(1+0.005*float64(cfg.Detect.Shuffles)))
	add("ablate", fmt.Sprintf("%.0f sets of %d latents", sets, cfg.Detect.Latents), 0, sets*0.15*panel*text)
	return p, nil
}

// Print writes the plan as aligned text.
func (p *Plan) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tWORK\tMB\tSECONDS, ABOUT")
	for _, s := range p.Steps {
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\n", s.Step, s.Work, float64(s.Bytes)/1e6, s.Seconds)
	}
	fmt.Fprintf(w, "in all\t\t\t%.0f\n", p.Seconds)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
