// Package holistic compares ways to extract concepts and ways to say how much they count (arXiv:2306.07304) on the activations
// of a text encoder.
package holistic

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/sae"
	"loupe/vectors"
)

// Config says what is read, how many concepts are extracted and what is compared.
type Config struct {
	study.Base
	Model       string   `json:"model" doc:"text encoder"`
	Layer       int      `json:"layer" doc:"block after which activations are read, means over a sentence's tokens"`
	Topics      []string `json:"topics" doc:"concepts of the built-in suite; their sentences are the classes that a linear layer tells apart"`
	Train       int      `json:"train" doc:"sentences of each topic that concepts and the linear layer are fitted to"`
	HeldOut     int      `json:"held_out" doc:"sentences of each topic, of other words and templates, that importance is measured on"`
	Concepts    int      `json:"concepts" doc:"concepts of each dictionary"`
	Penalty     float64  `json:"penalty" doc:"C of the linear layer"`
	Splits      int      `json:"splits" doc:"random halves that stability is measured on"`
	SobolPoints int      `json:"sobol_points" doc:"points of the Sobol indices, a power of two"`
	IGPoints    int      `json:"ig_points" doc:"points of the integrated gradients"`
	Orders      int      `json:"orders" doc:"orders of the Shapley values, each with its reverse"`
	Random      int      `json:"random" doc:"random orders of concepts, the control of importance"`
	SAEK        int      `json:"sae_k" doc:"latents that the autoencoder keeps in a row"`
	SAEEpochs   int      `json:"sae_epochs" doc:"passes over the rows in the autoencoder's training"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "holistic", Doc: "five ways to extract concepts, five to say how much they count, and their measures (arXiv:2306.07304)", New: newConfig},
		Title: "Concept extraction and importance, side by side",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "holistic", Seed: 1}, Model: "minilm", Layer: 5, Topics: []string{"animals", "food", "music", "medicine", "sport", "countries"},
		Train: 120, HeldOut: 30, Concepts: 12, Penalty: 1, Splits: 5, SobolPoints: 128, IGPoints: 16, Orders: 32, Random: 5, SAEK: 3, SAEEpochs: 100,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case len(c.Topics) < 2:
		return fmt.Errorf("topics is %v; name two or more", c.Topics)
	case c.Train < c.Concepts || c.HeldOut < 2 || c.Concepts < 2:
		return fmt.Errorf("train is %d, held_out %d, concepts %d; use a training sentence for each concept, 2 and 2 or more", c.Train, c.HeldOut, c.Concepts)
	case c.Splits < 2 || c.Random < 1 || c.SAEEpochs < 1:
		return fmt.Errorf("splits is %d, random %d, sae_epochs %d; use 2, 1 and 1 or more", c.Splits, c.Random, c.SAEEpochs)
	case c.SAEK < 1 || c.SAEK > c.Concepts:
		return fmt.Errorf("sae_k is %d; the autoencoder has %d latents", c.SAEK, c.Concepts)
	}
	return nil
}

// rows are the activations of sentences with their topic and the number of the topic's word.
type rows struct {
	x     *mat.Dense
	class []int
	word  []int
}

// subject is what all comparisons share.
type subject struct {
	cfg         *Config
	train, held rows
	probe       *vectors.Softmax
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	u, err := read(ctx, s, c)
	if err != nil {
		return err
	}
	if u.probe, err = vectors.Multinomial(ctx, u.train.x, u.train.class, c.Penalty); err != nil {
		return err
	}
	p, err := u.probe.Probabilities(u.held.x)
	if err != nil {
		return err
	}
	right := make([]float64, len(u.held.class))
	for i, class := range u.held.class {
		row := p.RawRowView(i)
		if row[class] == slices.Max(row) {
			right[i] = 1
		}
	}
	accuracy, err := lab.MeanOver(ctx, right, u.held.word, c.Seed)
	if err != nil {
		return err
	}
	s.Interval("probe.accuracy", accuracy)
	s.Text("%d training and %d held-out sentences of %d topics in %s after block %d; words and templates of held-out sentences are in no training sentence. A linear layer tells the topic of %s of the held-out ones.",
		len(u.train.class), len(u.held.class), len(c.Topics), c.Model, c.Layer, lab.Short(accuracy))
	s.Done("read")
	var found []*vectors.Concepts
	if found, err = u.extract(ctx, s); err != nil {
		return err
	}
	s.Done("extraction")
	if err := u.agreement(ctx, s, found); err != nil {
		return err
	}
	s.Done("linear layer")
	defer s.Done("importance")
	return u.importance(ctx, s, found)
}

// read reads the sentences with a word of a topic.
func read(ctx context.Context, s *study.Session, c *Config) (*subject, error) {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return nil, err
	}
	topics, err := lab.ConceptSentences(c.Topics, c.Train, c.HeldOut, c.Seed)
	if err != nil {
		return nil, err
	}
	var texts [2][]string
	u := &subject{cfg: c}
	parts := [2]*rows{&u.train, &u.held}
	for class, name := range c.Topics {
		at := slices.IndexFunc(topics, func(t *lab.Sentences) bool { return t.Concept == name })
		if at < 0 {
			return nil, fmt.Errorf("no sentence of %q was generated", name)
		}
		t := topics[at]
		for part, places := range [2][]int{t.Split.Train, t.Split.Test} {
			for _, i := range places {
				if t.Class[i] == 1 {
					texts[part] = append(texts[part], t.Texts[i])
					parts[part].class, parts[part].word = append(parts[part].class, class), append(parts[part].word, t.Group[i])
				}
			}
		}
	}
	for part := range parts {
		x, err := l.Read(ctx, texts[part], []model.Site{{Kind: model.ResidPost, Layer: c.Layer}}, lab.MeanToken, lab.ReadOptions{})
		if err != nil {
			return nil, err
		}
		parts[part].x = x[0]
	}
	return u, nil
}

// extractors are the five ways, all about the mean of the rows.
func (c *Config) extractors() []vectors.Extractor {
	cfg := sae.DefaultConfig()
	cfg.Arch, cfg.K, cfg.Batch, cfg.Engine, cfg.LR = sae.ArchTopK, c.SAEK, 64, sae.EngineHost, 2e-3
	cfg.Tokens = int64(c.SAEEpochs * c.Train * len(c.Topics))
	cfg.DeadTokens = int64(c.Train * len(c.Topics))
	hals := vectors.DefaultHALS()
	return []vectors.Extractor{
		vectors.AboutMean{Extractor: vectors.DefaultKMeans()},
		vectors.PCAExtractor{},
		vectors.AboutMean{Extractor: vectors.NMFExtractor{Config: hals, Signed: true}},
		vectors.AboutMean{Extractor: vectors.SemiNMFExtractor{Config: hals}},
		vectors.AboutMean{Extractor: vectors.SAEExtractor{Config: cfg}},
	}
}

// importances are the five ways.
func (c *Config) importances() []vectors.Importance {
	return []vectors.Importance{
		vectors.GradientImportance{}, vectors.IntegratedImportance{Points: c.IGPoints}, vectors.OcclusionImportance{},
		vectors.SobolImportance{Points: c.SobolPoints}, vectors.ShapleyImportance{Exact: 0, Permutations: c.Orders},
	}
}
