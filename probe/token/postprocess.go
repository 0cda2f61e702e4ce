package token

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// postprocessor adds the model's special tokens around one or two encoded texts and may trim offsets.
type postprocessor interface {
	// process returns the encodings to be joined. Without addSpecial nothing is added.
	process(parts []Encoding, addSpecial bool) []Encoding
	// added is the number of tokens that process adds.
	added(pair bool) int
}

const stagePost = "post-processor"

// parsePostprocessor reads a post-processor of tokenizer.json; nil for null.
func parsePostprocessor(raw json.RawMessage) (postprocessor, error) {
	if isNull(raw) {
		return nil, nil
	}
	kind, err := kindOf(stagePost, raw)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "TemplateProcessing":
		return parseTemplate(raw)
	case "BertProcessing", "RobertaProcessing":
		return parseBertProcessing(kind, raw)
	case "ByteLevel":
		b, err := parseByteLevel(stagePost, raw)
		return b, err
	case "Sequence":
		var c struct {
			header
			Processors []json.RawMessage `json:"processors"`
		}
		if err := decode(stagePost, kind, raw, &c); err != nil {
			return nil, err
		}
		var seq postSequence
		adders := 0
		for _, sub := range c.Processors {
			p, err := parsePostprocessor(sub)
			if err != nil {
				return nil, err
			}
			switch p := p.(type) {
			case nil:
				continue
			case *byteLevel:
			case postSequence:
				adders += p.adders()
			default:
				adders++
			}
			seq = append(seq, p)
		}
		if adders > 1 {
			return nil, fmt.Errorf("token: post-processor Sequence with %d members that add tokens: %w", adders, ErrUnsupported)
		}
		return seq, nil
	}
	return nil, unknown(stagePost, kind)
}

// postSequence applies its post-processors in order.
type postSequence []postprocessor

func (s postSequence) process(parts []Encoding, addSpecial bool) []Encoding {
	for _, p := range s {
		parts = p.process(parts, addSpecial)
	}
	return parts
}

func (s postSequence) added(pair bool) int {
	n := 0
	for _, p := range s {
		n += p.added(pair)
	}
	return n
}

// adders counts the members that add tokens.
func (s postSequence) adders() int {
	n := 0
	for _, p := range s {
		switch p := p.(type) {
		case *byteLevel:
		case postSequence:
			n += p.adders()
		default:
			n++
		}
	}
	return n
}

// process trims the spaces that tokens begin or end with off their offsets.
func (b *byteLevel) process(parts []Encoding, _ bool) []Encoding {
	if b.TrimOffsets {
		for i := range parts {
			trimOffsets(&parts[i], b.PrefixSpace)
		}
	}
	return parts
}

func (b *byteLevel) added(bool) int { return 0 }

// trimOffsets moves the offsets of each token past the white space at its ends. One space at the start of the text stays out of
// the count when the pre-tokenizer put it there (prefixSpace).
func trimOffsets(e *Encoding, prefixSpace bool) {
	blank := func(r rune) bool { return r == byteAlphabet[' '] || isSpace(r) }
	for i, token := range e.Tokens {
		leading, trailing := 0, 0
		for _, r := range token {
			if !blank(r) {
				break
			}
			leading++
		}
		for rest := token; rest != ""; trailing++ {
			r, n := utf8.DecodeLastRuneInString(rest)
			if !blank(r) {
				break
			}
			rest = rest[:len(rest)-n]
		}
		at := &e.Offsets[i]
		if (i == 0 || at[0] == 0) && prefixSpace && leading == 1 {
			leading = 0
		}
		at[0] = min(at[0]+leading, at[1])
		if trailing > 0 && at[1] >= trailing {
			at[1] = max(at[1]-trailing, at[0])
		}
	}
}
