package lab

import (
	"fmt"

	"loupe/probe"
	"loupe/probe/text"
)

// Sentences are generated sentences of one concept with what probes need: no word and no template of a test sentence is in a
// training sentence.
type Sentences struct {
	Concept string
	Items   []text.Labelled
	Texts   []string
	Class   []int // 1: with a word of the concept
	Group   []int // a sentence and its twin, and all pairs of one word of the concept, have one number
	Split   probe.Split
}

// ConceptSentences generates train training pairs and test held-out pairs of each concept of the built-in suite.
func ConceptSentences(concepts []string, train, test int, seed int64) ([]*Sentences, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, err
	}
	g := text.DefaultGenerateConfig()
	g.Concepts, g.Train, g.HeldOut, g.Seed = concepts, train, test, seed
	items, err := suite.Generate(g)
	if err != nil {
		return nil, err
	}
	byName := map[string]*Sentences{}
	word := map[string]string{} // concept and pair -> word of the concept
	pair := func(i text.Labelled) string { return fmt.Sprint(i.Concept, "/", i.Split, "/", i.Pair) }
	for _, i := range items {
		if i.Positive {
			word[pair(i)] = i.Entry
		}
	}
	var out []*Sentences
	numbers := map[string]int{}
	for _, i := range items {
		s := byName[i.Concept]
		if s == nil {
			s = &Sentences{Concept: i.Concept}
			byName[i.Concept], out = s, append(out, s)
		}
		key := i.Concept + "/" + word[pair(i)]
		if _, seen := numbers[key]; !seen {
			numbers[key] = len(numbers)
		}
		row, class := len(s.Items), 0
		if i.Positive {
			class = 1
		}
		s.Items, s.Texts, s.Class, s.Group = append(s.Items, i), append(s.Texts, i.Text), append(s.Class, class), append(s.Group, numbers[key])
		if i.Split == text.HeldOut {
			s.Split.Test = append(s.Split.Test, row)
		} else {
			s.Split.Train = append(s.Split.Train, row)
		}
	}
	return out, nil
}

// Target is the concept as what a probe is to predict.
func (s *Sentences) Target() probe.Target {
	positive := make([]bool, len(s.Class))
	for i, c := range s.Class {
		positive[i] = c == 1
	}
	return probe.NewBinary(s.Concept, positive)
}

// Take picks labels or groups of rows.
func Take[T any](x []T, rows []int) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = x[r]
	}
	return out
}
