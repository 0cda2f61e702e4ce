package token

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// metaspace is SentencePiece's way with spaces: each becomes a visible character, usually U+2581, that begins the word after it.
// As a decoder it turns them back.
type metaspace struct {
	Replacement string
	Prepend     string // "always", "first" (only at the start of the text) or "never"
	Split       bool
}

func parseMetaspace(stage string, raw json.RawMessage) (*metaspace, error) {
	var c struct {
		header
		Replacement string  `json:"replacement"`
		PrefixSpace *bool   `json:"add_prefix_space"` // old form of prepend_scheme
		Prepend     *string `json:"prepend_scheme"`
		Split       *bool   `json:"split"`
		StrRep      string  `json:"str_rep"` // old copy of replacement
	}
	if err := decode(stage, "Metaspace", raw, &c); err != nil {
		return nil, err
	}
	m := &metaspace{Replacement: c.Replacement, Prepend: "always", Split: c.Split == nil || *c.Split}
	if c.Prepend != nil {
		m.Prepend = *c.Prepend
	}
	if c.PrefixSpace != nil && !*c.PrefixSpace {
		if c.Prepend != nil && *c.Prepend != "never" {
			return nil, fmt.Errorf("token: %s Metaspace: add_prefix_space is false but prepend_scheme is %q", stage, *c.Prepend)
		}
		m.Prepend = "never"
	}
	if m.Prepend != "always" && m.Prepend != "first" && m.Prepend != "never" {
		return nil, fmt.Errorf("token: %s Metaspace: prepend_scheme %q: %w", stage, m.Prepend, ErrUnsupported)
	}
	if utf8.RuneCountInString(m.Replacement) != 1 {
		return nil, fmt.Errorf("token: %s Metaspace: replacement %q is not one character", stage, m.Replacement)
	}
	return m, nil
}

func (m *metaspace) pretokenize(pieces []piece) []piece {
	spaces := replace{pattern: literal(" "), content: m.Replacement}
	for i, p := range pieces {
		if p.added != notAdded {
			continue
		}
		p = spaces.normalize(p)
		if !strings.HasPrefix(p.text, m.Replacement) && (m.Prepend == "always" || m.Prepend == "first" && p.start == 0) {
			p = p.prepend(m.Replacement)
		}
		pieces[i] = p
	}
	if !m.Split {
		return pieces
	}
	s := splitter{pattern: literal(m.Replacement), behavior: mergedWithNext}
	return s.pretokenize(pieces)
}

// decode drops the replacement characters of the first token, where one was put, and turns the others into spaces.
func (m *metaspace) decode(tokens []string) []string {
	for i, token := range tokens {
		space := " "
		if i == 0 && m.Prepend != "never" {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(token, m.Replacement, space)
	}
	return tokens
}
