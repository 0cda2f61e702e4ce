package token

import (
	"encoding/json"
	"unicode/utf8"
)

// normalizer rewrites a piece before it is split.
type normalizer interface {
	normalize(p piece) piece
}

const stageNormalizer = "normalizer"

// parseNormalizer reads a normalizer of tokenizer.json; nil for null.
func parseNormalizer(raw json.RawMessage) (normalizer, error) {
	if isNull(raw) {
		return nil, nil
	}
	kind, err := kindOf(stageNormalizer, raw)
	if err != nil {
		return nil, err
	}
	strict := func(into any) error { return decode(stageNormalizer, kind, raw, into) }
	plain := func(n normalizer) (normalizer, error) { return n, strict(&header{}) }
	switch kind {
	case "Sequence":
		var c struct {
			header
			Normalizers []json.RawMessage `json:"normalizers"`
		}
		if err := strict(&c); err != nil {
			return nil, err
		}
		var seq normalizerSequence
		for _, sub := range c.Normalizers {
			n, err := parseNormalizer(sub)
			if err != nil {
				return nil, err
			}
			if n != nil {
				seq = append(seq, n)
			}
		}
		return seq, nil
	case "BertNormalizer":
		var c struct {
			header
			bertNormalizer
		}
		return &c.bertNormalizer, strict(&c)
	case "Lowercase":
		return plain(lowercase{})
	case "NFC":
		return plain(nfc)
	case "NFD":
		return plain(nfd)
	case "NFKC":
		return plain(nfkc)
	case "NFKD":
		return plain(nfkd)
	case "StripAccents":
		return plain(stripAccents{})
	case "Nmt":
		return plain(nmt{})
	case "ByteLevel":
		return plain(byteLevelNormalizer{})
	case "Strip":
		var c struct {
			header
			strip
		}
		return &c.strip, strict(&c)
	case "Prepend":
		var c struct {
			header
			Prepend string `json:"prepend"`
		}
		err := strict(&c)
		return prepend(c.Prepend), err
	case "Replace":
		return parseReplace(stageNormalizer, raw)
	case "Precompiled":
		return parsePrecompiled(raw)
	}
	return nil, unknown(stageNormalizer, kind)
}

// normalizerSequence applies its normalizers in order.
type normalizerSequence []normalizer

func (s normalizerSequence) normalize(p piece) piece {
	for _, n := range s {
		p = n.normalize(p)
	}
	return p
}

// lowercase is the full Unicode lower-casing without context: U+0130 becomes two characters, a final sigma is like any other.
type lowercase struct{}

func (lowercase) normalize(p piece) piece {
	var w *rewriter
	var low [2]rune
	for i, r := range p.text {
		lower := appendLower(low[:0], r)
		if w == nil {
			if len(lower) == 1 && lower[0] == r {
				continue
			}
			w = newRewriter(p)
			w.keepTo(i)
		}
		w.replace(lower[0])
		for _, more := range lower[1:] {
			w.insert(more)
		}
	}
	if w == nil {
		return p
	}
	return w.piece()
}

// stripAccents drops the combining marks; it is of use after a decomposition.
type stripAccents struct{}

func (stripAccents) normalize(p piece) piece {
	return p.filter(func(r rune) bool { return !isCombining(r) })
}

// strip drops white space at the ends.
type strip struct {
	Left  bool `json:"strip_left"`
	Right bool `json:"strip_right"`
}

func (s *strip) normalize(p piece) piece {
	lo, hi := 0, len(p.text)
	for s.Left && lo < hi {
		r, n := utf8.DecodeRuneInString(p.text[lo:hi])
		if !isSpace(r) {
			break
		}
		lo += n
	}
	for s.Right && lo < hi {
		r, n := utf8.DecodeLastRuneInString(p.text[lo:hi])
		if !isSpace(r) {
			break
		}
		hi -= n
	}
	return piece{text: p.text[lo:hi], at: p.at[lo:hi:hi], start: p.start, added: p.added}
}

// prepend puts a string before a text that is not empty.
type prepend string

func (s prepend) normalize(p piece) piece { return p.prepend(string(s)) }

// nmt is the character clean-up of the NMT rules of SentencePiece: some controls go, other unusual characters become spaces.
type nmt struct{}

func (nmt) normalize(p piece) piece {
	p = p.filter(func(r rune) bool {
		switch {
		case 0x01 <= r && r <= 0x08, r == 0x0B, 0x0E <= r && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
			return false
		}
		return true
	})
	return p.mapRunes(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, 0x200B <= r && r <= 0x200F, r == 0x2028, r == 0x2029,
			r == 0x2581, r == 0xFEFF, r == 0xFFFD:
			return ' '
		}
		return r
	})
}
