package token

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// pretokenizer cuts pieces into words. Pieces that are added tokens pass unchanged.
type pretokenizer interface {
	pretokenize(pieces []piece) []piece
}

const stagePretokenizer = "pre-tokenizer"

// parsePretokenizer reads a pre-tokenizer of tokenizer.json; nil for null.
func parsePretokenizer(raw json.RawMessage) (pretokenizer, error) {
	if isNull(raw) {
		return nil, nil
	}
	kind, err := kindOf(stagePretokenizer, raw)
	if err != nil {
		return nil, err
	}
	strict := func(into any) error { return decode(stagePretokenizer, kind, raw, into) }
	switch kind {
	case "Sequence":
		var c struct {
			header
			Pretokenizers []json.RawMessage `json:"pretokenizers"`
		}
		if err := strict(&c); err != nil {
			return nil, err
		}
		var seq pretokenizerSequence
		for _, sub := range c.Pretokenizers {
			p, err := parsePretokenizer(sub)
			if err != nil {
				return nil, err
			}
			if p != nil {
				seq = append(seq, p)
			}
		}
		return seq, nil
	case "ByteLevel":
		c, err := parseByteLevel(stagePretokenizer, raw)
		return c, err
	case "Metaspace":
		c, err := parseMetaspace(stagePretokenizer, raw)
		return c, err
	case "BertPreTokenizer":
		return pretokenizerSequence{
			&splitter{pattern: class(isSpace), behavior: removed},
			&splitter{pattern: class(isPunctuation), behavior: isolated},
		}, strict(&header{})
	case "Whitespace":
		return &splitter{pattern: scanner(scanWord), behavior: removed, invert: true}, strict(&header{})
	case "WhitespaceSplit":
		return &splitter{pattern: class(isSpace), behavior: removed}, strict(&header{})
	case "Punctuation":
		var c struct {
			header
			Behavior behavior `json:"behavior"`
		}
		err := strict(&c)
		return &splitter{pattern: class(isPunctuation), behavior: c.Behavior}, err
	case "Digits":
		var c struct {
			header
			Individual bool `json:"individual_digits"`
		}
		err := strict(&c)
		s := &splitter{pattern: class(isNumeric), behavior: contiguous}
		if c.Individual {
			s.behavior = isolated
		}
		return s, err
	case "CharDelimiterSplit":
		var c struct {
			header
			Delimiter string `json:"delimiter"`
		}
		if err := strict(&c); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(c.Delimiter) != 1 {
			return nil, fmt.Errorf("token: pre-tokenizer CharDelimiterSplit: delimiter %q is not one character", c.Delimiter)
		}
		return &splitter{pattern: literal(c.Delimiter), behavior: removed}, nil
	case "Split":
		var c struct {
			header
			Pattern  patternJSON `json:"pattern"`
			Behavior behavior    `json:"behavior"`
			Invert   bool        `json:"invert"`
		}
		if err := strict(&c); err != nil {
			return nil, err
		}
		m, err := c.Pattern.matcher("pre-tokenizer Split")
		return &splitter{pattern: m, behavior: c.Behavior, invert: c.Invert}, err
	}
	return nil, unknown(stagePretokenizer, kind)
}

// pretokenizerSequence applies its pre-tokenizers in order.
type pretokenizerSequence []pretokenizer

func (s pretokenizerSequence) pretokenize(pieces []piece) []piece {
	for _, p := range s {
		pieces = p.pretokenize(pieces)
	}
	return pieces
}

// scanWord is the pattern \w+|[^\w\s]+ of the Whitespace pre-tokenizer.
func scanWord(text string, i int) int {
	r, n := utf8.DecodeRuneInString(text[i:])
	switch {
	case isWord(r):
		return runOf(text, i+n, isWord)
	case !isSpace(r):
		return runOf(text, i+n, func(r rune) bool { return !isWord(r) && !isSpace(r) })
	}
	return i
}

// runOf returns the end of the run of characters at i for which in is true.
func runOf(text string, i int, in func(rune) bool) int {
	for i < len(text) {
		r, n := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(text[i:])
		}
		if !in(r) {
			break
		}
		i += n
	}
	return i
}
