package token

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// wordPiece takes the longest token that begins the word, then the longest that continues it, and so on. A word that cannot be
// covered, or is longer than maxChars, is unknown as a whole (BERT's greedy longest-match-first).
type wordPiece struct {
	*vocabulary
	unk      int32
	prefix   string // marks tokens that continue a word
	maxChars int
	longest  int // bytes of the longest token
}

func parseWordPiece(raw json.RawMessage) (model, *vocabulary, error) {
	var c struct {
		header
		Unk      string           `json:"unk_token"`
		Prefix   string           `json:"continuing_subword_prefix"`
		MaxChars int              `json:"max_input_chars_per_word"`
		Vocab    map[string]int32 `json:"vocab"`
	}
	c.Unk, c.Prefix, c.MaxChars = "[UNK]", "##", 100
	if err := decode(stageModel, "WordPiece", raw, &c); err != nil {
		return nil, nil, err
	}
	v, err := newVocabulary(c.Vocab)
	if err != nil {
		return nil, nil, err
	}
	unk, err := required("model WordPiece", v, c.Unk)
	if err != nil {
		return nil, nil, err
	}
	if c.MaxChars < 0 {
		return nil, nil, fmt.Errorf("token: model WordPiece: max_input_chars_per_word is %d", c.MaxChars)
	}
	w := &wordPiece{vocabulary: v, unk: unk, prefix: c.Prefix, maxChars: c.MaxChars}
	for token := range c.Vocab {
		w.longest = max(w.longest, len(token))
	}
	return w, v, nil
}

func (m *wordPiece) tokenize(word string, out []unit) ([]unit, error) {
	first := len(out)
	whole := unit{id: m.unk, hi: int32(len(word))}
	if utf8.RuneCountInString(word) > m.maxChars {
		return append(out, whole), nil
	}
	for start := 0; start < len(word); {
		candidate, lead := word[start:], 0
		if start > 0 {
			candidate, lead = m.prefix+candidate, len(m.prefix)
		}
		id, end := m.longestPrefix(candidate, lead)
		if end == lead {
			return append(out[:first], whole), nil
		}
		next := start + end - lead
		out = append(out, unit{id: id, lo: int32(start), hi: int32(next)})
		start = next
	}
	return out, nil
}

// longestPrefix returns the longest token that s begins with and that is longer than lead, and its length; lead for none.
func (m *wordPiece) longestPrefix(s string, lead int) (id int32, end int) {
	for end = min(len(s), m.longest); end > lead; end-- {
		if end < len(s) && !utf8.RuneStart(s[end]) {
			continue
		}
		if id, ok := m.ids[s[:end]]; ok {
			return id, end
		}
	}
	return 0, lead
}
