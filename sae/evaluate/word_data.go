package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/probe/text"
	"loupe/sae"
)

// word is a word in a text and the concept that it has.
type word struct {
	text     string
	from, to int // the word, in code points
	concept  string
	train    bool
}

// wordData are activations at the last tokens of words: training words in random order, then the test words, concept by
// concept.
type wordData struct {
	what     string
	width    int
	x        []float32
	concept  []string // of each word
	concepts []string
	train    int
	test     map[string][2]int // rows of a concept's test words
}

// letterPrompt is SAEBench's prompt.
const letterPrompt = "%s has the first letter:"

// letterWords are words of the vocabulary with their first letters.
func (b *Bench) letterWords() ([]word, error) {
	list, err := words(b.Subject.Tokenizer, b.Seed)
	if err != nil {
		return nil, err
	}
	var out []word
	for _, letter := range sortedKeys(list) {
		cut := int(taskShare * float64(len(list[letter])))
		for i, w := range list[letter] {
			out = append(out, word{fmt.Sprintf(letterPrompt, w), 0, len(w), letter, i < cut})
		}
	}
	return out, nil
}

// categoryWords are the words of the built-in concepts in sentences; words and sentences of the test part are not in the
// training part.
func (b *Bench) categoryWords() ([]word, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	cfg := text.DefaultGenerateConfig()
	cfg.Seed, cfg.Train, cfg.HeldOut = int64(b.Seed), b.ProbePairs, max(sae.DefaultAbsorptionConfig().MinTexts, b.ProbePairs/2)
	sentences, err := suite.Generate(cfg)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	var out []word
	for _, s := range sentences {
		if s.Positive {
			out = append(out, word{s.Text, s.Span[0], s.Span[1], s.Concept, s.Split == text.Train})
		}
	}
	return out, nil
}

// wordsAt runs the words' texts through the model and takes what a site holds at each word's last token.
func (b *Bench) wordsAt(ctx context.Context, key siteKey, list []word) (*wordData, error) {
	data := &wordData{test: map[string][2]int{}}
	var train, all []word
	for _, w := range list {
		if w.train {
			train = append(train, w)
		}
	}
	data.train = len(train)
	rng := rand.New(rand.NewPCG(b.Seed, 0x6c657474))
	rng.Shuffle(len(train), func(i, j int) { train[i], train[j] = train[j], train[i] })
	all = train
	for _, w := range list { // concept by concept, as they come
		if w.train {
			continue
		}
		at, ok := data.test[w.concept]
		if !ok {
			at = [2]int{len(all), len(all)}
			data.concepts = append(data.concepts, w.concept)
		}
		if at[1] != len(all) {
			return nil, fmt.Errorf("evaluate: the test words of %s do not come together", w.concept)
		}
		data.test[w.concept] = [2]int{at[0], len(all) + 1}
		all = append(all, w)
	}
	texts := make([]string, len(all))
	for i, w := range all {
		texts[i] = w.text
	}
	a, err := b.Subject.joint(ctx, key, texts)
	if err != nil {
		return nil, err
	}
	data.width = a.Width
	for i, w := range all {
		at, err := b.Subject.lastToken(w.text, w.from, w.to)
		if err != nil {
			return nil, err
		}
		r := a.Start[i] + at
		data.x = append(data.x, a.X[r*a.Width:(r+1)*a.Width]...)
		data.concept = append(data.concept, w.concept)
	}
	return data, nil
}

// is tells which words have a concept.
func (l *wordData) is(concept string) []bool {
	out := make([]bool, len(l.concept))
	for i, other := range l.concept {
		out[i] = other == concept
	}
	return out
}

// share is the training share, half a row above the cut so that rounding cannot move it.
func (l *wordData) share() float64 { return (float64(l.train) + 0.5) / float64(len(l.concept)) }

// probes fits a probe of each concept on the activations.
func (l *wordData) probes(ctx context.Context) (map[string]sae.ProbeScore, error) {
	rows, err := sae.SparseOf(l.x, l.width)
	if err != nil {
		return nil, err
	}
	cfg := sae.DefaultProbeConfig()
	cfg.K, cfg.TrainShare = []int{0}, l.share()
	out := map[string]sae.ProbeScore{}
	for _, c := range l.concepts {
		r, err := sae.SparseProbe(ctx, rows, l.is(c), cfg)
		if err != nil {
			return nil, fmt.Errorf("evaluate: concept %s: %w", c, err)
		}
		out[c] = r.Scores[0]
	}
	return out, nil
}
