// Package cgbc is the experiment on classifying texts without training by votes of concepts: which concepts of a class vote
// (determinantal point process), and how their votes are joined (soft trim).
package cgbc

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
	Model    string           `json:"model" doc:"text encoder: minilm, a folder, or hf:org/name@rev"`
	Data     topictext.Config `json:"data" doc:"the texts, and the pool of phrases of each topic"`
	Seeds    int              `json:"seeds" doc:"draws of texts, phrases and outliers"`
	Prompt   string           `json:"prompt" doc:"concept of a topic and a phrase: {topic} and {phrase} stand for them"`
	Foreign  []string         `json:"foreign" doc:"concepts of the suite whose words are outliers of no topic"`
	Outliers float64          `json:"outliers" doc:"share of every topic's pool that is replaced by outliers"`
	Uneven   float64          `json:"uneven" doc:"share of the pool that is replaced in every second topic, in the uneven condition"`
	Chosen   int              `json:"chosen" doc:"concepts of a topic that are chosen from its pool"`
	Draws    int              `json:"draws" doc:"random choices that the others are held against"`
}

// DefaultConfig returns the settings that config.yaml starts from.
func DefaultConfig() Config {
	return Config{
		Base: study.Base{Name: "cgbc", Seed: 1}, Model: "minilm", Seeds: 4, Prompt: "{topic} such as {phrase}", Outliers: 0.2, Uneven: 0.4, Chosen: 8, Draws: 5,
		Data: topictext.Config{
			Topics: []string{
				"animals", "clothing", "computing", "countries", "family", "food", "law", "medicine", "money", "music", "plants", "sport", "travel", "weather",
			},
			Phrases: 20, Train: 30, HeldOut: 12, Spare: 5,
		},
		Foreign: []string{"anger", "colours", "time"},
	}
}

// Validate names the field that is out of range.
func (c *Config) Validate() error {
	if err := c.Data.Validate(); err != nil {
		return err
	}
	switch {
	case c.Model == "" || c.Prompt == "":
		return errors.New("model and prompt must not be empty")
	case c.Seeds < 1 || c.Draws < 1:
		return errors.New("seeds and draws must be at least 1")
	case len(c.Foreign) == 0:
		return errors.New("foreign is empty; name concepts of the suite such as anger")
	case c.Outliers <= 0 || c.Outliers >= 1 || c.Uneven <= 0 || c.Uneven >= 1:
		return fmt.Errorf("outliers is %v and uneven %v; they must be between 0 and 1", c.Outliers, c.Uneven)
	case c.Chosen < 2 || c.Chosen > c.Data.Phrases:
		return fmt.Errorf("chosen is %d; use 2 to data.phrases (%d)", c.Chosen, c.Data.Phrases)
	}
	return nil
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "cgbc", Doc: "votes of concepts without training: DPP choice and soft-trimmed aggregation, with planted outliers", New: func() any {
			c := DefaultConfig()
			return &c
		}},
		Title: "Votes of concepts without training: which concepts, and how they are joined",
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
			foreign, err := foreignWords(suite, c.Foreign)
			if err != nil {
				return nil, err
			}
			p := &panel{cfg: c, data: data, foreign: foreign, seed: uint64(seed), tally: topictext.NewTally(data.HeldOut.Word)}
			return p.tally, p.measure(ctx, enc)
		})
		if err != nil {
			return err
		}
		all.Add(got)
		s.Done(fmt.Sprintf("seed %d", seed))
	}
	return summarise(ctx, s, c, all)
}

func foreignWords(suite *text.Suite, concepts []string) ([]string, error) {
	var out []string
	for _, concept := range concepts {
		words, err := suite.Words(concept)
		if err != nil {
			return nil, err
		}
		out = append(out, words...)
	}
	return out, nil
}
