package sliders

import (
	"fmt"
	"slices"
	"strings"

	"loupe/internal/lab"
	"loupe/probe/text"
	"loupe/probe/token"
)

// topicPrompts are beginnings of texts of several topics in which a word of any concept could come next. None is a template of the
// built-in suite.
var topicPrompts = []string{
	"The minister told reporters that the country needs more", "According to the police report, the thief only took the",
	"The engineers were surprised that the prototype reacted to", "During the flight the captain announced that passengers could expect",
	"In the middle of the desert the travellers found a small shop that sold", "The professor began her lecture with a remark about",
	"Dear diary, today I learned something new about", "The court heard that the two companies had quarrelled over",
	"Scientists have published a new study on the history of", "The old man opened the wooden box and showed us his",
	"If I had a free afternoon, I would read a novel about", "The advertisement on the bus promised cheaper",
	"At the end of the match the crowd started to shout about", "The doctor wrote in her notes that the patient kept talking about",
	"On the first page of the magazine there is a photograph of", "My grandmother left me a house full of",
}

// fill takes prompts and words from a concept's sentences.
func (u *slider) fill(tokens *token.Tokenizer, s *lab.Sentences, n int) error {
	for kind, rows := range map[string][]int{native: s.Split.Train, heldOut: s.Split.Test} {
		ids, err := encodeAll(tokens, beginnings(lab.Take(s.Items, rows), n))
		if err != nil {
			return err
		}
		if len(ids) < 4 {
			return fmt.Errorf("concept %s has %d prompts of %s; raise pairs", u.concept, len(ids), kind)
		}
		u.prompts[kind] = ids
	}
	firsts := func(keep func(text.Labelled) bool) ([]int32, error) {
		var out []int32
		for _, item := range s.Items {
			if !keep(item) {
				continue
			}
			encoded, err := tokens.Encode(" "+strings.ToLower(item.Word), token.EncodeOptions{})
			if err != nil {
				return nil, err
			}
			if !slices.Contains(out, encoded.IDs[0]) {
				out = append(out, encoded.IDs[0])
			}
		}
		return out, nil
	}
	var err error
	if u.words, err = firsts(func(i text.Labelled) bool { return i.Positive && i.Split == text.HeldOut }); err != nil {
		return err
	}
	others, err := firsts(func(i text.Labelled) bool { return !i.Positive && i.Split == text.HeldOut })
	if err != nil {
		return err
	}
	for _, id := range others { // a token that begins words of both says nothing
		if at := slices.Index(u.words, id); at >= 0 {
			u.words = slices.Delete(u.words, at, at+1)
		} else {
			u.others = append(u.others, id)
		}
	}
	u.lexicon, err = firsts(func(i text.Labelled) bool { return i.Positive })
	return err
}

// beginnings are what stands before the word in different templates, three words or more, n at most.
func beginnings(items []text.Labelled, n int) []string {
	var out []string
	for _, i := range items {
		before := strings.TrimRight(string([]rune(i.Text)[:i.Span[0]]), " ")
		if len(strings.Fields(before)) < 3 || slices.Contains(out, before) {
			continue
		}
		if out = append(out, before); len(out) == n {
			break
		}
	}
	return out
}
