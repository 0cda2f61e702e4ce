// Package eraseandrediscover erases the number of a subject from the residual stream of SmolLM2, looks for the circuit of subject-verb agreement
// again, and reports what took another way.
package eraseandrediscover

import (
	"context"
	"errors"
	"fmt"

	"loupe/circuits"
	"loupe/circuits/task"
	sfc "loupe/experiments/papers/sparse-feature-circuits"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/sae"
)

// Config says where the concept is erased and how circuits are found.
type Config struct {
	study.Base
	Model     string     `json:"model" doc:"a rotary decoder"`
	Layer     int        `json:"layer" doc:"the stream is erased before this block, at every position; circuits are of the blocks from here on"`
	Prompts   int        `json:"prompts" doc:"prompts that erasers and probes are fitted on"`
	Rows      int        `json:"rows" doc:"of them, those that circuits are found on"`
	Steps     int        `json:"steps" doc:"steps of the integrated gradients along the mask"`
	Edges     int        `json:"edges" doc:"edges of a circuit before pruning"`
	Resamples int        `json:"resamples" doc:"resamples of prompts, each with a circuit of its own"`
	Latents   int        `json:"latents" doc:"latents that are clamped to zero"`
	Text      sfc.Text   `json:"text" doc:"what the autoencoder of the clamp reads"`
	SAE       sae.Config `json:"sae" doc:"the autoencoder of the clamp"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "erase-and-rediscover", Doc: "a circuit before and after a concept is erased from the stream, with what took another way", New: newConfig},
		Title: "Erase and rediscover: what a circuit does when its concept is gone",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Model: "smollm2", Layer: 12, Prompts: 200, Rows: 32, Steps: 6, Edges: 300, Resamples: 100, Latents: 16, Text: sfc.DefaultText(), SAE: sae.DefaultConfig()}
	c.Name, c.Seed = "erase-and-rediscover", 1
	return c
}

// Validate checks the settings.
func (c *Config) Validate() error {
	switch {
	case c.Layer < 1:
		return fmt.Errorf("layer is %d; erase before block 1 or a later one", c.Layer)
	case c.Rows < 2 || c.Prompts < c.Rows:
		return fmt.Errorf("rows is %d of %d prompts; take at least 2 and at most all", c.Rows, c.Prompts)
	case c.Steps < 1 || c.Edges < 1 || c.Resamples < 20 || c.Latents < 1:
		return errors.New("steps, edges and latents must be positive, and resamples at least 20")
	}
	return nil
}

// Names of the variants.
const (
	none        = "none"
	leace       = "leace"
	random      = "random"
	clamp       = "clamp"
	clampRandom = "clamp_random"
)

// found is what is known of one variant.
type found struct {
	name    string
	task    *circuits.Task
	ref     *circuits.Reference
	scores  *circuits.Scores
	circuit *circuits.Circuit // pruned
	effect  []float64         // corrupted less clean loss of each row
	moved   float64           // relative squared distance that the edit moves the stream
}

func run(ctx context.Context, s *study.Session, c *Config) (err error) {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	asked := task.DefaultConfig()
	asked.Task, asked.N, asked.Seed = "subject-verb", c.Prompts, c.Seed
	prompts, err := task.Generate(asked)
	if err != nil {
		return err
	}
	examples, _, err := task.Align(l.Tokenizer, prompts, task.AlignConfig{})
	if err != nil {
		return err
	}
	x, err := read(ctx, l, c.Layer, examples)
	if err != nil {
		return err
	}
	s.Done("streams")
	coders, _, err := sfc.Train(ctx, l, c.Model, c.Text, c.SAE, []string{model.Site{Kind: model.ResidPre, Layer: c.Layer}.String()}, c.Seed)
	if err != nil {
		return err
	}
	s.Text("The clamp's autoencoder has %d latents; on held-out text it leaves %.2f of the variance with %.0f latents on.", coders[0].SAE.DSAE, coders[0].FVU, coders[0].L0)
	s.Done("autoencoder")
	edits, err := x.edits(coders[0].SAE, c.Latents, uint64(c.Seed))
	if err != nil {
		return err
	}
	above, err := l.Model.Above(l.Backend, c.Layer, edits[0].values)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, above.Params.Get("W_E").FinalizeAll()) }()
	whole, err := circuits.PairsOf(examples[:min(c.Rows, len(examples))])
	if err != nil {
		return err
	}
	plain, err := circuits.NewTask(ctx, l.Engine, l.Model, whole, circuits.LogitDiff(), circuits.Options{})
	if err != nil {
		return err
	}
	var all []*found
	probes := newLeft(x, c)
	for _, e := range edits {
		m, free, err := e.model(l, above)
		if err != nil {
			return err
		}
		f, err := rediscover(ctx, l, m, x.pairs(whole.Rows), c)
		if err == nil {
			f.name, f.moved = e.name, x.moved(e)
			all = append(all, f)
			err = probes.measure(ctx, l, m, e)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", e.name, err), free())
		}
		defer func() { err = errors.Join(err, free()) }()
		s.Done(e.name)
	}
	gap := 0.0
	for _, v := range lab.Minus(plain.CleanLoss, all[0].task.CleanLoss) {
		gap = max(gap, v, -v)
	}
	s.Value("cut_gap", gap)
	return tell(ctx, s, c, all, probes)
}

// rediscover finds the circuit of a variant.
func rediscover(ctx context.Context, l *lab.Lab, m *model.Model, p *circuits.Pairs, c *Config) (*found, error) {
	t, err := circuits.NewTask(ctx, l.Engine, m, p, circuits.LogitDiff(), circuits.Options{SweepRows: p.Rows})
	if err != nil {
		return nil, err
	}
	f := &found{task: t, effect: lab.Minus(t.CorruptedLoss, t.CleanLoss)}
	if f.scores, err = circuits.MaskIG(ctx, t, c.Steps); err != nil {
		return nil, err
	}
	if f.ref, err = t.Reference(ctx, circuits.Patching, uint64(c.Seed)); err != nil {
		return nil, err
	}
	f.circuit, _ = circuits.Prune(circuits.Greedy(t.Graph, f.scores.Mean(), c.Edges))
	return f, nil
}
