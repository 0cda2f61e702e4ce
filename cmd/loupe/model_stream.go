package main

import (
	"strings"

	"loupe/probe/token"
)

// replacement stands for the bytes of a character that is not complete yet.
const replacement = "\uFFFD"

// textStream turns the tokens that follow a prompt into text, piece by piece. What the next token may still change is
// held back: an incomplete character, and a beginning of a stop string.
type textStream struct {
	tokens *token.Tokenizer
	ids    []int32 // of the prompt and what followed
	prompt string
	stops  []string
	shown  int  // bytes of the new text that have been returned
	ended  bool // a stop string was met
}

func newTextStream(t *token.Tokenizer, prompt []int32, stops []string) (*textStream, error) {
	text, err := t.Decode(prompt, true)
	return &textStream{tokens: t, ids: append([]int32(nil), prompt...), prompt: text, stops: stops}, err
}

// text decodes all that followed the prompt. The prompt is decoded with it, since decoders treat the first token of a
// text as its beginning.
func (s *textStream) text() (string, error) {
	all, err := s.tokens.Decode(s.ids, true)
	if err != nil {
		return "", err
	}
	return all[sharedPrefix(s.prompt, all):], nil
}

// next takes a token and returns the text that has become certain. After a stop string it sets ended and returns what
// stands before it.
func (s *textStream) next(id int32) (string, error) {
	s.ids = append(s.ids, id)
	text, err := s.text()
	if err != nil {
		return "", err
	}
	for _, stop := range s.stops {
		if at := strings.Index(text, stop); at >= 0 {
			text, s.ended = text[:at], true
		}
	}
	if !s.ended {
		text = strings.TrimRight(text, replacement)
		text = text[:len(text)-heldBack(text, s.stops)]
	}
	return s.show(text), nil
}

// rest returns what was held back.
func (s *textStream) rest() (string, error) {
	if s.ended {
		return "", nil
	}
	text, err := s.text()
	return s.show(text), err
}

func (s *textStream) show(text string) string {
	if len(text) <= s.shown {
		return ""
	}
	out := text[s.shown:]
	s.shown = len(text)
	return out
}

// heldBack is the length of the longest end of text that begins a stop string.
func heldBack(text string, stops []string) int {
	longest := 0
	for _, stop := range stops {
		for n := min(len(stop)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// sharedPrefix is the number of bytes that a and b have in common at the start.
func sharedPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
