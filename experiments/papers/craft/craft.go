// Package craft looks for the concepts of texts by CRAFT (arXiv:2211.10154) in a text encoder: do planted topics come out, which of
// them count for the embedding, does recursion split a mixed concept, and where in a text is a concept written?
package craft

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/study"
	"loupe/vectors"
)

// Config says what is read, how it is cut and what is compared.
type Config struct {
	study.Base
	Model       string   `json:"model" doc:"text encoder"`
	Layer       int      `json:"layer" doc:"block before which concepts are extracted; the rest of the model is the score"`
	Earlier     int      `json:"earlier" doc:"block before which a concept is split"`
	Topics      []string `json:"topics" doc:"concepts of the built-in suite that sentences are about"`
	Sentences   int      `json:"sentences" doc:"sentences of a text, each about another topic"`
	Words       int      `json:"words" doc:"words of its topic that a sentence lists; 0: the suite's sentences, with one word in a template"`
	Train       int      `json:"train" doc:"training sentences of each topic"`
	HeldOut     int      `json:"held_out" doc:"held-out sentences of each topic, of other words and templates"`
	Span        int      `json:"span" doc:"tokens of a span"`
	Stride      int      `json:"stride" doc:"tokens from a span to the next"`
	Concepts    int      `json:"concepts" doc:"concepts that are extracted"`
	Scored      int      `json:"scored" doc:"held-out texts whose concepts' importance is measured"`
	SobolPoints int      `json:"sobol_points" doc:"points of the Sobol indices, a power of two"`
	IGPoints    int      `json:"ig_points" doc:"points of the integrated gradients"`
	Random      int      `json:"random" doc:"random orders of concepts, and shuffles of labels: the controls"`
	Strongest   int      `json:"strongest" doc:"spans that stand for a concept, and that recursion splits"`
	Parts       int      `json:"parts" doc:"concepts that recursion splits one into"`
	Mapped      int      `json:"mapped" doc:"held-out sentences of each topic whose maps are looked at"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "craft", Doc: "concepts of spans by CRAFT: planted topics, Sobol importance, recursion and maps (arXiv:2211.10154)", New: newConfig},
		Title: "CRAFT: concepts of spans of text",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "craft", Seed: 1}, Model: "minilm", Layer: 5, Earlier: 2, Topics: []string{"animals", "food", "music", "medicine", "sport", "countries"},
		Sentences: 4, Words: 5, Train: 100, HeldOut: 24, Span: 10, Stride: 8, Concepts: 10, Scored: 16, SobolPoints: 64, IGPoints: 8, Random: 10, Strongest: 40, Parts: 3, Mapped: 10,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case len(c.Topics) < 2 || c.Sentences < 2 || c.Sentences > len(c.Topics):
		return fmt.Errorf("sentences is %d of %d topics; use 2 topics or more and a topic for each sentence of a text", c.Sentences, len(c.Topics))
	case c.Words < 0:
		return fmt.Errorf("words is %d; use 0 or more", c.Words)
	case c.Earlier < 1 || c.Layer < 1:
		return fmt.Errorf("layer is %d and earlier %d; blocks after the first", c.Layer, c.Earlier)
	case c.Concepts < len(c.Topics):
		return fmt.Errorf("concepts is %d for %d topics; use as many or more", c.Concepts, len(c.Topics))
	case c.Scored < 2 || c.Random < 2 || c.Strongest < c.Parts || c.Parts < 2 || c.Mapped < 1:
		return fmt.Errorf("scored is %d, random %d, strongest %d, parts %d, mapped %d; use 2, 2, parts, 2 and 1 or more", c.Scored, c.Random, c.Strongest, c.Parts, c.Mapped)
	}
	return nil
}

// subject is what all steps share.
type subject struct {
	cfg         *Config
	lab         *lab.Lab
	train, held *texts
	truth       *mat.Dense // [topics, d], means of a topic's tokens less the mean of all
	craft       *vectors.CRAFT
	partner     []int // the concept of each topic
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	u := &subject{cfg: c, lab: l}
	all, err := lab.ConceptSentences(c.Topics, c.Train, c.HeldOut, c.Seed)
	if err != nil {
		return err
	}
	if u.train, err = compose(c, all, false); err != nil {
		return err
	}
	if u.held, err = compose(c, all, true); err != nil {
		return err
	}
	for _, t := range []*texts{u.train, u.held} {
		if err := t.read(ctx, l, c); err != nil {
			return err
		}
	}
	u.truth = u.train.topicMeans(len(c.Topics))
	s.Text("%d texts of %d sentences, each sentence about another of %d topics, and %d held-out ones, whose words and templates the others have not. Activations of %s before block %d.",
		len(u.train.text), c.Sentences, len(c.Topics), len(u.held.text), c.Model, c.Layer)
	s.Done("read")
	for _, step := range []struct {
		name string
		do   func(context.Context, *study.Session) error
	}{{"extraction", u.extract}, {"recursion", u.recursion}, {"maps", u.maps}, {"importance", u.importance}} {
		if err := step.do(ctx, s); err != nil {
			return err
		}
		s.Done(step.name)
	}
	return nil
}
