package token

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Encoding is a text as tokens. All slices have one element a token.
type Encoding struct {
	IDs    []int32
	Tokens []string // the vocabulary's text; for added tokens and unknown Unigram pieces the text that they stand for
	// Offsets are [start, end) in code points of the original text (of the second text for its tokens); [0, 0) for tokens that
	// the post-processor adds. A character that is cut across tokens is given to each of them whole.
	Offsets [][2]int
	// Special marks tokens that are structure rather than text: what the post-processor adds, and special added tokens found in
	// the text. (The special_tokens_mask of Hugging Face marks the former only.)
	Special []bool
	TypeIDs []int32 // segment: 0, or 1 for a second text in templates that tell them apart
}

// Len returns the number of tokens.
func (e *Encoding) Len() int { return len(e.IDs) }

func (e *Encoding) append(id int32, token string, offsets span, special bool, typeID int32) {
	e.IDs = append(e.IDs, id)
	e.Tokens = append(e.Tokens, token)
	e.Offsets = append(e.Offsets, [2]int{int(offsets.lo), int(offsets.hi)})
	e.Special = append(e.Special, special)
	e.TypeIDs = append(e.TypeIDs, typeID)
}

// slice returns tokens [lo, hi).
func (e *Encoding) slice(lo, hi int) Encoding {
	return Encoding{e.IDs[lo:hi], e.Tokens[lo:hi], e.Offsets[lo:hi], e.Special[lo:hi], e.TypeIDs[lo:hi]}
}

// join returns the encodings one after the other.
func join(parts []Encoding) Encoding {
	if len(parts) == 1 {
		return parts[0]
	}
	var e Encoding
	for _, p := range parts {
		e.IDs = append(e.IDs, p.IDs...)
		e.Tokens = append(e.Tokens, p.Tokens...)
		e.Offsets = append(e.Offsets, p.Offsets...)
		e.Special = append(e.Special, p.Special...)
		e.TypeIDs = append(e.TypeIDs, p.TypeIDs...)
	}
	return e
}

// EncodeOptions says what Encode does besides cutting the text. The zero value adds nothing and cuts nothing off.
type EncodeOptions struct {
	AddSpecial bool    // add what the post-processor adds: [CLS] and [SEP], BOS, EOS
	Pair       *string // a second text, for models that read two
	MaxLen     int     // most tokens in all, added ones included; 0: no limit
	Truncation Truncation
}

// Encode turns a text, which must be valid UTF-8, into tokens. It is safe for concurrent use.
func (t *Tokenizer) Encode(text string, opt EncodeOptions) (Encoding, error) {
	first, err := t.encodeText(text, 0)
	if err != nil {
		return Encoding{}, err
	}
	parts := []Encoding{first}
	if opt.Pair != nil {
		second, err := t.encodeText(*opt.Pair, 1)
		if err != nil {
			return Encoding{}, err
		}
		parts = append(parts, second)
	}
	if opt.MaxLen != 0 {
		room := opt.MaxLen
		if opt.AddSpecial && t.post != nil {
			room -= t.post.added(len(parts) == 2)
		}
		if room < 0 {
			return Encoding{}, fmt.Errorf("token: encode: MaxLen %d leaves no room for the %d tokens that are added; raise it", opt.MaxLen, opt.MaxLen-room)
		}
		if err := opt.Truncation.cut(parts, room); err != nil {
			return Encoding{}, err
		}
	}
	if t.post != nil {
		parts = t.post.process(parts, opt.AddSpecial)
	}
	return join(parts), nil
}

// encodeText runs one text through everything but the post-processor.
func (t *Tokenizer) encodeText(text string, typeID int32) (Encoding, error) {
	if len(text) > math.MaxInt32 {
		return Encoding{}, fmt.Errorf("token: encode: a text of %d bytes; cut it below 2 GiB", len(text))
	}
	if !utf8.ValidString(text) {
		return Encoding{}, fmt.Errorf("token: encode: the text is not valid UTF-8 at byte %d; repair it first, as with strings.ToValidUTF8", invalidAt(text))
	}
	pieces := t.added.extract(text, t.normalizer)
	if t.pretokenizer != nil {
		pieces = t.pretokenizer.pretokenize(pieces)
	}
	var e Encoding
	e.grow(len(text)/3 + 4)
	var units []unit
	for _, p := range pieces {
		if p.added != notAdded {
			e.append(p.added, p.text, p.original(0, len(p.text)), t.added.byID[p.added].Special, typeID)
			continue
		}
		var err error
		if units, err = t.model.tokenize(p.text, units[:0]); err != nil {
			return Encoding{}, err
		}
		for _, u := range units {
			token := u.text
			if token == "" {
				token, _ = t.vocab.token(u.id)
			}
			e.append(u.id, token, p.original(int(u.lo), int(u.hi)), false, typeID)
		}
	}
	return e, nil
}

func (e *Encoding) grow(n int) {
	e.IDs = make([]int32, 0, n)
	e.Tokens = make([]string, 0, n)
	e.Offsets = make([][2]int, 0, n)
	e.Special = make([]bool, 0, n)
	e.TypeIDs = make([]int32, 0, n)
}

func invalidAt(text string) int {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
				return i
			}
		}
	}
	return len(text)
}
