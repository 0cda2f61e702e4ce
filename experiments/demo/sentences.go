package demo

import (
	"maps"
	"math/rand/v2"
	"slices"

	"loupe/probe/text"
)

// Part is the sentences of one concept and split with what is known of them.
type Part struct {
	Concept   string
	Sentences []text.Labelled
	IDs       []int64 // documents in the store
	Texts     *Texts
	Positive  []bool
	Cluster   []int // sentences of one pair, and pairs of one positive word, have one label
}

// partOf collects a concept's sentences of a split and reads their residual stream.
func partOf(c *corpus, acts *Activations, concept, split string) (*Part, error) {
	p := &Part{Concept: concept}
	word := map[int]string{} // pair -> word of the concept
	for i, s := range c.sentences {
		if s.Concept != concept || s.Split != split {
			continue
		}
		p.Sentences, p.IDs, p.Positive = append(p.Sentences, s), append(p.IDs, int64(i)), append(p.Positive, s.Positive)
		if s.Positive {
			word[s.Pair] = s.Entry
		}
	}
	number := map[string]int{}
	for _, s := range p.Sentences {
		w := word[s.Pair]
		if _, ok := number[w]; !ok {
			number[w] = len(number)
		}
		p.Cluster = append(p.Cluster, number[w])
	}
	var err error
	p.Texts, err = acts.Texts(p.IDs)
	return p, err
}

// words counts the different words of the concept.
func (p *Part) words() int {
	seen := map[string]bool{}
	for _, s := range p.Sentences {
		if s.Positive {
			seen[s.Entry] = true
		}
	}
	return len(seen)
}

// templates counts the different templates.
func (p *Part) templates() int {
	seen := map[string]bool{}
	for _, s := range p.Sentences {
		seen[s.Template] = true
	}
	return len(seen)
}

// shuffled returns labels that are shuffled among words: every sentence with a word has one label, and as many words
// are positive as before. A latent that stands for a word can thus still be found; one that stands for the concept cannot.
func (p *Part) shuffled(rng *rand.Rand) []bool {
	label := map[string]bool{}
	for _, s := range p.Sentences {
		label[s.Category+"/"+s.Entry] = s.Positive
	}
	words := slices.Sorted(maps.Keys(label))
	values := make([]bool, len(words))
	for i, at := range rng.Perm(len(words)) {
		values[i] = label[words[at]]
	}
	for i, w := range words {
		label[w] = values[i]
	}
	out := make([]bool, len(p.Sentences))
	for i, s := range p.Sentences {
		out[i] = label[s.Category+"/"+s.Entry]
	}
	return out
}
