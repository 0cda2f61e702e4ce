package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/internal/stats"
	"loupe/probe/text"
	"loupe/sae"
)

// maxProbeTexts bounds the texts that are read of a probing corpus.
const maxProbeTexts = 100_000

// CorpusProbeSets makes a task of each class of a corpus's label against as many texts of the other classes: at most 500 of
// each, in a random order that seed gives. Classes of fewer than 20 texts are left out. Such corpora are JSONL, CSV and Parquet
// files and data sets of the hub; cfg.LabelFields must hold label.
func CorpusProbeSets(ctx context.Context, cfg text.CorpusConfig, label string, seed uint64) ([]sae.ProbeSet, error) {
	corpus, err := text.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("evaluate: probing data: %w", err)
	}
	classes := map[string][]string{}
	n := 0
	for doc, err := range corpus.Docs(ctx) {
		if err != nil {
			return nil, fmt.Errorf("evaluate: probing data: %w", err)
		}
		if class := doc.Labels[label]; class != "" {
			classes[class] = append(classes[class], doc.Text)
		}
		if n++; n == maxProbeTexts {
			break
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0x70726f62))
	var out []sae.ProbeSet
	for _, class := range sortedKeys(classes) {
		var others []string
		for _, other := range sortedKeys(classes) {
			if other != class {
				others = append(others, classes[other]...)
			}
		}
		if len(classes[class]) < taskTexts || len(others) < taskTexts {
			continue
		}
		out = append(out, balanced(fmt.Sprintf("%s is %s", label, class), classes[class], others, rng))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("evaluate: probing data: of %d texts no two classes of %q have %d: %w; does the label field have that name?", n, label, taskTexts, stats.ErrTooFew)
	}
	return out, nil
}

// balanced draws equally many texts of both kinds, in random order.
func balanced(name string, positive, negative []string, rng *rand.Rand) sae.ProbeSet {
	n := min(len(positive), len(negative), taskMaxTexts)
	set := sae.ProbeSet{Name: name, TrainShare: taskShare}
	for _, part := range []struct {
		texts []string
		is    bool
	}{{positive, true}, {negative, false}} {
		for _, i := range rng.Perm(len(part.texts))[:n] {
			set.Texts, set.Positive = append(set.Texts, part.texts[i]), append(set.Positive, part.is)
		}
	}
	rng.Shuffle(len(set.Texts), func(i, j int) {
		set.Texts[i], set.Texts[j] = set.Texts[j], set.Texts[i]
		set.Positive[i], set.Positive[j] = set.Positive[j], set.Positive[i]
	})
	return set
}
