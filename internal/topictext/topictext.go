// Package topictext generates texts about topics, and for each topic phrases that are words of it which no text has: what
// experiments with concept bottlenecks read.
package topictext

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/probe/text"
)

// Config sizes the data.
type Config struct {
	Topics  []string `json:"topics" doc:"concepts of the built-in suite whose words fit the same templates"`
	Phrases int      `json:"phrases" doc:"phrases of each topic, in no text"`
	Train   int      `json:"train" doc:"training texts of each topic"`
	HeldOut int      `json:"held_out" doc:"held-out texts of each topic, whose words and templates no training text has"`
	Spare   int      `json:"spare" doc:"sentences that are generated for each that is wanted, as those with a phrase in them are left out"`
}

// Validate names the field that is out of range.
func (c Config) Validate() error {
	switch {
	case len(c.Topics) < 2:
		return fmt.Errorf("topictext: topics has %d entries; name two or more", len(c.Topics))
	case c.Phrases < 1 || c.Train < 1 || c.HeldOut < 1:
		return fmt.Errorf("topictext: phrases is %d, train %d and held_out %d; use at least 1", c.Phrases, c.Train, c.HeldOut)
	case c.Spare < 2:
		return fmt.Errorf("topictext: spare is %d; use 2 or more, as about half of the words may be phrases", c.Spare)
	}
	return nil
}

// Texts are sentences with one word of their topic each.
type Texts struct {
	Text  []string
	Topic []int    // place of the topic in Config.Topics
	Word  []string // the word that is of the topic, in its base form
}

// Data is what one seed gives.
type Data struct {
	Train, HeldOut Texts
	Phrases        []string // grouped by topic
	Of             []int    // topic of each phrase
}

// heldOutShare of the words and of the templates are in held-out texts alone.
const heldOutShare = 0.25

// Generate draws phrases and texts by seed.
func Generate(suite *text.Suite, cfg Config, seed int64) (*Data, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x746f706963)) // "topic"
	d := &Data{}
	isPhrase := map[string]bool{}
	for t, topic := range cfg.Topics {
		words, err := suite.Words(topic)
		if err != nil {
			return nil, err
		}
		if len(words) < 2*cfg.Phrases {
			return nil, fmt.Errorf("topictext: topic %s has %d words, and %d phrases would leave less than half for texts; ask for fewer", topic, len(words), cfg.Phrases)
		}
		rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		for _, w := range words[:cfg.Phrases] {
			isPhrase[topic+"/"+w] = true
			d.Phrases, d.Of = append(d.Phrases, w), append(d.Of, t)
		}
	}
	sentences, err := suite.Generate(text.GenerateConfig{Concepts: cfg.Topics, Seed: seed, Train: cfg.Spare * cfg.Train, HeldOut: cfg.Spare * cfg.HeldOut, HeldOutShare: heldOutShare})
	if err != nil {
		return nil, err
	}
	for t, topic := range cfg.Topics {
		for _, part := range []struct {
			split string
			want  int
			to    *Texts
		}{{text.Train, cfg.Train, &d.Train}, {text.HeldOut, cfg.HeldOut, &d.HeldOut}} {
			got := 0
			for _, s := range sentences {
				if got == part.want {
					break
				}
				if s.Concept != topic || !s.Positive || s.Split != part.split || isPhrase[topic+"/"+s.Entry] {
					continue
				}
				got++
				part.to.Text, part.to.Topic, part.to.Word = append(part.to.Text, s.Text), append(part.to.Topic, t), append(part.to.Word, topic+"/"+s.Entry)
			}
			if got < part.want {
				return nil, fmt.Errorf("topictext: topic %s has %d %s texts without its phrases, and %d are wanted; ask for fewer phrases or texts, or raise spare", topic, got, part.split, part.want)
			}
		}
	}
	return d, nil
}

// Clusters numbers the words, so that intervals draw texts of one word together.
func Clusters(words []string) []int {
	seen := slices.Compact(slices.Sorted(slices.Values(words)))
	out := make([]int, len(words))
	for i, w := range words {
		out[i], _ = slices.BinarySearch(seen, w)
	}
	return out
}
