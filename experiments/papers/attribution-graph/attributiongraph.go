// Package attributiongraph traces attribution graphs of a small model that adds numbers, and holds what they say against interventions in the
// model (Ameisen et al., Circuit Tracing, Transformer Circuits 2025).
package attributiongraph

import (
	"context"
	"fmt"

	"loupe/circuits/tracing"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/train"
)

// Config says what model is trained, what dictionaries, and what is measured.
type Config struct {
	study.Base
	Numbers   int     `json:"numbers" doc:"the task is x y = z with z the sum of x and y, which are below this"`
	Equations int     `json:"equations" doc:"equations of a text"`
	Layers    int     `json:"layers" doc:"blocks of the model"`
	DModel    int     `json:"d_model" doc:"width of the residual stream"`
	Heads     int     `json:"heads" doc:"attention heads"`
	Steps     int     `json:"steps" doc:"training steps of the model"`
	Batch     int     `json:"batch" doc:"texts of a training step"`
	LR        float64 `json:"lr" doc:"highest learning rate of the model"`
	Latents   int     `json:"latents" doc:"latents of a layer's transcoder"`
	K         int     `json:"k" doc:"active latents of a layer and position"`
	Texts     int     `json:"texts" doc:"texts whose activations the transcoders learn from"`
	Tokens    int64   `json:"tokens" doc:"rows that a transcoder is trained on"`
	Prompts   int     `json:"prompts" doc:"traced prompts, whose context no training has seen"`
	Features  int     `json:"features" doc:"most influential features of a prompt that are suppressed, one at a time, and as many others of like activation"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "attribution-graph", Doc: "attribution graphs on transcoders and cross-layer transcoders of a small adding model, against interventions (Ameisen et al. 2025)", New: func() any {
			return &Config{
				Base: study.Base{Name: "attribution-graph", Seed: 1}, Numbers: 10, Equations: 4, Layers: 2, DModel: 64, Heads: 4, Steps: 800, Batch: 64, LR: 3e-3,
				Latents: 256, K: 12, Texts: 1024, Tokens: 150_000, Prompts: 40, Features: 8,
			}
		}},
		Title: "Attribution graphs: does the model do what its graph says?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks the sizes.
func (c *Config) Validate() error {
	if c.Numbers < 4 || c.Equations < 2 || c.Layers < 1 || c.Texts < 16 || c.Prompts < 3 || c.Features < 3 || c.K < 1 || c.Latents < c.K {
		return fmt.Errorf("numbers is %d, equations %d, layers %d, texts %d, prompts %d, features %d, k %d of %d latents; use 4, 2, 1, 16, 3, 3 and 1 or more", c.Numbers, c.Equations, c.Layers, c.Texts, c.Prompts, c.Features, c.K, c.Latents)
	}
	return c.size().Validate()
}

func (c *Config) size() train.Size {
	return train.Size{Layers: c.Layers, DModel: c.DModel, Heads: c.Heads, Context: 4 * c.Equations, Vocab: 2 * c.Numbers}
}

func run(ctx context.Context, s *study.Session, c *Config) (err error) {
	engine := s.Compiler()
	m, err := adder(ctx, engine, c)
	if err != nil {
		return err
	}
	defer func() {
		if free := m.Params.Free(); err == nil {
			err = free
		}
	}()
	prompts, right, err := c.prompts(ctx, engine, m)
	if err != nil {
		return err
	}
	s.Value("model.accuracy", right)
	s.Text("A GPT of %d layers of width %d, trained on sums of numbers below %d, is right on %.1f %% of %d prompts.", c.Layers, c.DModel, c.Numbers, 100*right, len(prompts))
	s.Done("model")
	dictionaries, err := c.dictionaries(ctx, s, engine, m)
	if err != nil {
		return err
	}
	s.Done("transcoders")
	scores := report.Table{Caption: fmt.Sprintf("Graphs of %d prompts, means with intervals over prompts", len(prompts)), Columns: []report.Column{
		{Name: "dictionary"}, {Name: "active features"}, {Name: "replacement"}, {Name: "completeness"}, {Name: "kept features"}, {Name: "gap", Doc: "largest miss of a row's sum"},
	}}
	agreement := report.Table{Caption: fmt.Sprintf("Suppressing %d influential features and %d others of like activation, one at a time: correlation of the predicted with the measured change", c.Features, c.Features), Columns: []report.Column{
		{Name: "dictionary"}, {Name: "logits, replaced model"}, {Name: "logits, attention and last divisor held"}, {Name: "logits, attention held"}, {Name: "logits, all free"}, {Name: "logits, all free, a tenth", Doc: "features weakened by a tenth instead of suppressed"}, {Name: "features, all free"}, {Name: "logits, shuffled graph"},
		{Name: "change by influential", Doc: "mean size of the change of the most probable logit"}, {Name: "by others"},
	}}
	replacement := map[string][]float64{}
	for _, d := range dictionaries {
		if replacement[d.name], err = measure(ctx, s, c, engine, m, d, prompts, &scores, &agreement); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	for i, v := range replacement["permuted"] {
		replacement["transcoders"][i] -= v
	}
	above, err := overPrompts(ctx, replacement["transcoders"], c.Seed)
	if err != nil {
		return err
	}
	s.Interval("transcoders.above_permuted", above)
	s.Table("scores", scores)
	s.Table("agreement", agreement)
	s.Done("graphs")
	return nil
}

// measure traces every prompt with a dictionary, takes the numbers and returns each prompt's replacement score.
func measure(ctx context.Context, s *study.Session, c *Config, engine *model.Engine, m *model.Model, d named, prompts [][]int32, scores, agreement *report.Table) ([]float64, error) {
	tracer, err := tracing.New(ctx, engine, m, d.dictionary)
	if err != nil {
		return nil, err
	}
	columns := map[string][]float64{}
	gap := 0.0
	for i, p := range prompts {
		found, err := judge(ctx, tracer, c, d, p, uint64(c.Seed)+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i, err)
		}
		for name, v := range found {
			columns[name] = append(columns[name], v)
		}
		gap = max(gap, found["gap"])
	}
	s.Value(d.name+".gap", gap)
	cell := func(name string) any {
		values, ok := columns[name]
		if !ok || err != nil {
			return nil
		}
		interval, failed := overPrompts(ctx, values, c.Seed)
		if failed != nil {
			err = fmt.Errorf("%s: %w", name, failed)
			return nil
		}
		s.Interval(d.name+"."+name, interval)
		return report.Interval{Value: interval.Value, Low: interval.Low, High: interval.High, N: interval.N}
	}
	scores.Rows = append(scores.Rows, []any{d.name, cell("active"), cell("replacement"), cell("completeness"), cell("kept"), gap})
	if !d.control {
		agreement.Rows = append(agreement.Rows, []any{d.name, cell("replaced"), cell("divisor"), cell("held"), cell("free"), cell("nudged"), cell("features"), cell("shuffled"), cell("influential"), cell("others")})
		cell("advantage")
	}
	return columns["replacement"], err
}

// overPrompts is the mean of one value a prompt.
func overPrompts(ctx context.Context, values []float64, seed int64) (stats.Interval, error) {
	prompt := make([]int, len(values))
	for i := range prompt {
		prompt[i] = i
	}
	return lab.MeanOver(ctx, values, prompt, seed)
}
