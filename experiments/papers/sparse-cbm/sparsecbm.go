// Package sparsecbm is the experiment on sparse concept bottlenecks (arXiv:2404.03323) with a text encoder.
package sparsecbm

import (
	"context"
	"errors"
	"fmt"

	"loupe/internal/config"
	"loupe/internal/run"
	"loupe/internal/study"
	"loupe/internal/topictext"
	"loupe/probe/text"
	"loupe/vectors/bottleneck"
)

// Config is config.yaml.
type Config struct {
	study.Base
	Model       string                   `json:"model" doc:"text encoder: minilm, a folder, or hf:org/name@rev"`
	Data        topictext.Config         `json:"data" doc:"the texts and the concepts"`
	Seeds       int                      `json:"seeds" doc:"draws of texts and concepts, each with fits of its own"`
	Active      int                      `json:"active" doc:"concepts that a decision may use"`
	PostHoc     bottleneck.PostHocConfig `json:"post_hoc" doc:"the post-hoc bottleneck; its residual is fitted beside it"`
	L1          bottleneck.SparseConfig  `json:"l1" doc:"the concept layer with few weights"`
	Gumbel      bottleneck.SparseConfig  `json:"gumbel" doc:"the concept layer with the Gumbel loss"`
	Contrastive bottleneck.SparseConfig  `json:"contrastive" doc:"the concept layer with the contrastive loss"`
	Gates       bottleneck.GateConfig    `json:"gates" doc:"the head with Gumbel gates"`
}

// Topics are the categories of the suite whose words fit the same templates.
var topics = []string{
	"animals", "clothing", "computing", "countries", "family", "food", "law", "medicine", "money", "music", "plants", "sport", "travel", "weather",
}

// DefaultConfig returns the settings that config.yaml starts from.
func DefaultConfig() Config {
	c := Config{
		Base: study.Base{Name: "sparse-cbm", Seed: 1}, Model: "minilm", Seeds: 3, Active: 10,
		Data:    topictext.Config{Topics: topics, Phrases: 12, Train: 60, HeldOut: 20, Spare: 3},
		PostHoc: bottleneck.DefaultPostHoc(), Gates: bottleneck.DefaultGates(),
		L1: bottleneck.DefaultSparse(bottleneck.LossL1), Gumbel: bottleneck.DefaultSparse(bottleneck.LossGumbel),
		Contrastive: bottleneck.DefaultSparse(bottleneck.LossContrastive),
	}
	c.PostHoc.Residual, c.PostHoc.Rest.Lambda = true, 1e-3
	return c
}

// Validate checks the settings; each part checks its own.
func (c *Config) Validate() error {
	switch {
	case c.Model == "":
		return errors.New("model is empty; use minilm")
	case c.Seeds < 1:
		return fmt.Errorf("seeds is %d; use at least 1", c.Seeds)
	case c.Active < 1 || c.Active > len(c.Data.Topics)*c.Data.Phrases:
		return fmt.Errorf("active is %d; use 1 to the number of concepts", c.Active)
	case !c.PostHoc.Residual:
		return errors.New("post_hoc.residual is false; the residual is fitted beside the head and reported apart")
	case c.L1.Loss != bottleneck.LossL1 || c.Gumbel.Loss != bottleneck.LossGumbel || c.Contrastive.Loss != bottleneck.LossContrastive:
		return errors.New("l1.loss, gumbel.loss and contrastive.loss must be what they are called")
	}
	return errors.Join(c.Data.Validate(), c.PostHoc.Validate(), c.L1.Validate(), c.Gumbel.Validate(), c.Contrastive.Validate(), c.Gates.Validate())
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "sparse-cbm", Doc: "sparse concept bottlenecks on a text encoder: accuracy, active concepts, leakage, interventions", New: func() any {
			c := DefaultConfig()
			return &c
		}},
		Title: "Sparse concept bottlenecks on a text encoder",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return carry(ctx, s, conf.(*Config)) },
	}
}

func carry(ctx context.Context, s *study.Session, c *Config) error {
	suite, err := text.NewSuite()
	if err != nil {
		return err
	}
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	if err := s.Dir().AddParent(run.Ref{Kind: "model", Name: l.Model.Name, Digest: l.Model.Digest}); err != nil {
		return err
	}
	const longest = 32 // tokens; the sentences have fewer
	enc, err := bottleneck.NewEncoder(l.Engine, l.Model, l.Tokenizer, longest)
	if err != nil {
		return err
	}
	all := topictext.NewTally(nil)
	for i := range c.Seeds {
		seed := c.Seed + int64(i)
		got, err := study.Step(s, fmt.Sprintf("seed-%d", seed), func() (*topictext.Tally, error) {
			data, err := topictext.Generate(suite, c.Data, seed)
			if err != nil {
				return nil, err
			}
			d, err := embed(ctx, enc, c, data)
			if err != nil {
				return nil, err
			}
			return d.measure(ctx, c, uint64(seed))
		})
		if err != nil {
			return err
		}
		all.Add(got)
		s.Done(fmt.Sprintf("seed %d", seed))
	}
	return summarise(ctx, s, c, all)
}
