package sae

import (
	"fmt"

	"loupe/probe/text"
)

// ProbeSet is a binary probing task over texts. Its first TrainShare of the texts are for training.
type ProbeSet struct {
	Name       string
	Texts      []string
	Positive   []bool
	TrainShare float64
}

// GeneratedProbeSets returns one task for each concept of a suite, so that sparse probing runs without a network: pairs of
// sentences that differ in one word, as many pairs of each kind as asked for. Words and templates of the test sentences do not
// occur in training ones, so that a probe must know the concept and not its words.
func GeneratedProbeSets(suite *text.Suite, seed int64, train, test int) ([]ProbeSet, error) {
	cfg := text.DefaultGenerateConfig()
	cfg.Seed, cfg.Train, cfg.HeldOut = seed, train, test
	sentences, err := suite.Generate(cfg)
	if err != nil {
		return nil, fmt.Errorf("sae: generated probing sets: %w", err)
	}
	var out []ProbeSet
	for _, s := range sentences {
		if len(out) == 0 || out[len(out)-1].Name != s.Concept {
			out = append(out, ProbeSet{Name: s.Concept, TrainShare: float64(train) / float64(train+test)})
		}
		set := &out[len(out)-1]
		set.Texts, set.Positive = append(set.Texts, s.Text), append(set.Positive, s.Positive)
	}
	return out, nil
}
