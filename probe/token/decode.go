package token

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// decoder turns token strings into text, stage by stage. It may change the slice that it gets.
type decoder interface {
	decode(tokens []string) []string
}

const stageDecoder = "decoder"

// Decode turns ids into text. With skipSpecial the special added tokens are left out. An id that has no token is an error.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) (string, error) {
	tokens := make([]string, 0, len(ids))
	for i, id := range ids {
		token, ok := t.Token(id)
		if !ok {
			return "", fmt.Errorf("token: decode: id %d at %d has no token; the vocabulary has %d", id, i, t.VocabSize())
		}
		if skipSpecial && t.added.special[token] {
			continue
		}
		tokens = append(tokens, token)
	}
	if t.decoder == nil {
		return strings.Join(tokens, " "), nil
	}
	return strings.Join(t.decoder.decode(tokens), ""), nil
}

// parseDecoder reads a decoder of tokenizer.json; nil for null.
func parseDecoder(raw json.RawMessage) (decoder, error) {
	if isNull(raw) {
		return nil, nil
	}
	kind, err := kindOf(stageDecoder, raw)
	if err != nil {
		return nil, err
	}
	strict := func(into any) error { return decode(stageDecoder, kind, raw, into) }
	switch kind {
	case "Sequence":
		var c struct {
			header
			Decoders []json.RawMessage `json:"decoders"`
		}
		if err := strict(&c); err != nil {
			return nil, err
		}
		var seq decoderSequence
		for _, sub := range c.Decoders {
			d, err := parseDecoder(sub)
			if err != nil {
				return nil, err
			}
			if d != nil {
				seq = append(seq, d)
			}
		}
		return seq, nil
	case "ByteLevel":
		d, err := parseByteLevel(stageDecoder, raw)
		return d, err
	case "Metaspace":
		d, err := parseMetaspace(stageDecoder, raw)
		return d, err
	case "Replace":
		d, err := parseReplace(stageDecoder, raw)
		return d, err
	case "Fuse":
		return fuse{}, strict(&header{})
	case "ByteFallback":
		return byteFallback{}, strict(&header{})
	case "WordPiece":
		var c struct {
			header
			Prefix  string `json:"prefix"`
			Cleanup bool   `json:"cleanup"`
		}
		err := strict(&c)
		return wordPieceDecoder{c.Prefix, c.Cleanup}, err
	case "BPEDecoder":
		var c struct {
			header
			Suffix string `json:"suffix"`
		}
		err := strict(&c)
		return suffixDecoder(c.Suffix), err
	case "Strip":
		var c struct {
			header
			Content string `json:"content"`
			Start   int    `json:"start"`
			Stop    int    `json:"stop"`
		}
		if err := strict(&c); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(c.Content) != 1 || c.Start < 0 || c.Stop < 0 {
			return nil, fmt.Errorf("token: decoder Strip: content %q, start %d, stop %d", c.Content, c.Start, c.Stop)
		}
		return stripDecoder{c.Content, c.Start, c.Stop}, nil
	}
	return nil, unknown(stageDecoder, kind)
}

// decoderSequence applies its decoders in order.
type decoderSequence []decoder

func (s decoderSequence) decode(tokens []string) []string {
	for _, d := range s {
		tokens = d.decode(tokens)
	}
	return tokens
}

// fuse joins all tokens into one.
type fuse struct{}

func (fuse) decode(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// wordPieceDecoder glues continuations to the token before them and puts spaces between words. Cleanup then takes out the spaces
// that English spelling does not have.
type wordPieceDecoder struct {
	prefix  string
	cleanup bool
}

func (d wordPieceDecoder) decode(tokens []string) []string {
	for i, token := range tokens {
		if i > 0 {
			if rest, ok := strings.CutPrefix(token, d.prefix); ok {
				token = rest
			} else {
				token = " " + token
			}
		}
		if d.cleanup {
			// The order matters: each replacement sees the result of the one before.
			for _, fix := range [][2]string{{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"},
				{" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}} {
				token = strings.ReplaceAll(token, fix[0], fix[1])
			}
		}
		tokens[i] = token
	}
	return tokens
}

// suffixDecoder turns the end-of-word suffix into a space, or into nothing in the last token.
type suffixDecoder string

func (d suffixDecoder) decode(tokens []string) []string {
	for i, token := range tokens {
		space := " "
		if i == len(tokens)-1 {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(token, string(d), space)
	}
	return tokens
}

// stripDecoder cuts a character off the ends of each token, at most start and stop times.
type stripDecoder struct {
	content     string
	start, stop int
}

func (d stripDecoder) decode(tokens []string) []string {
	for i, token := range tokens {
		for n := 0; n < d.start && strings.HasPrefix(token, d.content); n++ {
			token = token[len(d.content):]
		}
		for n := 0; n < d.stop && strings.HasSuffix(token, d.content); n++ {
			token = token[:len(token)-len(d.content)]
		}
		tokens[i] = token
	}
	return tokens
}

// byteFallback turns runs of tokens like <0x0A> into the bytes that they name. A run that is not UTF-8 becomes one U+FFFD a token.
type byteFallback struct{}

func (byteFallback) decode(tokens []string) []string {
	var out []string
	var run []byte
	flush := func() {
		if utf8.Valid(run) {
			out = append(out, string(run))
		} else {
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = run[:0]
	}
	for _, token := range tokens {
		if b, ok := namedByte(token); ok {
			run = append(run, b)
			continue
		}
		if len(run) > 0 {
			flush()
		}
		out = append(out, token)
	}
	if len(run) > 0 {
		flush()
	}
	return out
}

// namedByte reads <0xHH>.
func namedByte(token string) (byte, bool) {
	if len(token) != 6 || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	var b byte
	for _, c := range []byte(token[3:5]) {
		switch {
		case '0' <= c && c <= '9':
			b = b<<4 | (c - '0')
		case 'a' <= c && c <= 'f':
			b = b<<4 | (c - 'a' + 10)
		case 'A' <= c && c <= 'F':
			b = b<<4 | (c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return b, true
}
