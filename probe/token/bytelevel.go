package token

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// byteAlphabet is GPT-2's printable stand-in for each byte: itself for the printable Latin-1 characters, else the next free
// code point from U+0100.
var byteAlphabet, byteOfRune = makeByteAlphabet()

// lastByteRune is the largest stand-in.
const lastByteRune = 0x143

func makeByteAlphabet() (alphabet [256]rune, back [lastByteRune + 1]int16) {
	for r := range back {
		back[r] = -1
	}
	free := rune(256)
	for b := range alphabet {
		r := rune(b)
		if !('!' <= r && r <= '~' || 0xA1 <= r && r <= 0xAC || 0xAE <= r && r <= 0xFF) {
			r = free
			free++
		}
		alphabet[b] = r
		back[r] = int16(b)
	}
	return alphabet, back
}

// byteLevel is the byte-level stage of GPT-2. As a pre-tokenizer it cuts by the GPT-2 pattern and writes every byte as its
// stand-in; as a decoder it undoes that; as a post-processor it trims the spaces off the offsets.
type byteLevel struct {
	PrefixSpace bool
	TrimOffsets bool
	UseRegex    bool
}

func parseByteLevel(stage string, raw json.RawMessage) (*byteLevel, error) {
	var c struct {
		header
		PrefixSpace bool  `json:"add_prefix_space"`
		TrimOffsets bool  `json:"trim_offsets"`
		UseRegex    *bool `json:"use_regex"` // absent in old files: true
	}
	if err := decode(stage, "ByteLevel", raw, &c); err != nil {
		return nil, err
	}
	return &byteLevel{c.PrefixSpace, c.TrimOffsets, c.UseRegex == nil || *c.UseRegex}, nil
}

func (b *byteLevel) pretokenize(pieces []piece) []piece {
	if b.PrefixSpace {
		for i, p := range pieces {
			if p.added == notAdded && !strings.HasPrefix(p.text, " ") {
				pieces[i] = p.prepend(" ")
			}
		}
	}
	if b.UseRegex {
		words := splitter{pattern: scanner(scanGPT2), behavior: isolated}
		pieces = words.pretokenize(pieces)
	}
	return bytesToRunes(pieces)
}

// bytesToRunes writes the bytes of all pieces as their stand-ins, into shared memory.
func bytesToRunes(pieces []piece) []piece {
	size := 0
	for _, p := range pieces {
		if p.added == notAdded {
			for i := range len(p.text) {
				size += utf8.RuneLen(byteAlphabet[p.text[i]])
			}
		}
	}
	var text strings.Builder
	text.Grow(size)
	at := make([]span, 0, size)
	ends := make([]int, len(pieces))
	for k, p := range pieces {
		if p.added == notAdded {
			for i := range len(p.text) {
				r := byteAlphabet[p.text[i]]
				if r < utf8.RuneSelf {
					text.WriteByte(byte(r))
					at = append(at, p.at[i])
				} else {
					text.WriteRune(r)
					at = append(at, p.at[i], p.at[i])
				}
			}
		}
		ends[k] = len(at)
	}
	all, lo := text.String(), 0
	out := make([]piece, len(pieces))
	for k, p := range pieces {
		hi := ends[k]
		if p.added == notAdded {
			p.text, p.at = all[lo:hi], at[lo:hi:hi]
		}
		out[k] = p
		lo = hi
	}
	return out
}

// decode turns stand-ins back into bytes. A token with any other character keeps its own bytes.
func (b *byteLevel) decode(tokens []string) []string {
	var out []byte
	for _, token := range tokens {
		start := len(out)
		for _, r := range token {
			if r > lastByteRune || byteOfRune[r] < 0 {
				out = append(out[:start], token...)
				break
			}
			out = append(out, byte(byteOfRune[r]))
		}
	}
	return []string{validUTF8(out)}
}

// byteLevelNormalizer writes every byte as its stand-in before anything is split.
type byteLevelNormalizer struct{}

func (byteLevelNormalizer) normalize(p piece) piece { return bytesToRunes([]piece{p})[0] }

// validUTF8 decodes bytes, with one U+FFFD for each maximal part that is not UTF-8 (Unicode 3.9, best practice), where Go's own
// conversions write one for each byte.
func validUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = truncatedPrefix(b)
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}

// truncatedPrefix returns how many bytes at the start of b begin a character that is then broken off, at least 1.
func truncatedPrefix(b []byte) int {
	var lo, hi byte = 0x80, 0xBF // range of the second byte
	need := 0
	switch lead := b[0]; {
	case 0xC2 <= lead && lead <= 0xDF:
		need = 1
	case lead == 0xE0:
		need, lo = 2, 0xA0
	case lead == 0xED:
		need, hi = 2, 0x9F
	case 0xE1 <= lead && lead <= 0xEF:
		need = 2
	case lead == 0xF0:
		need, lo = 3, 0x90
	case lead == 0xF4:
		need, hi = 3, 0x8F
	case 0xF1 <= lead && lead <= 0xF3:
		need = 3
	}
	n := 1
	for ; n <= need && n < len(b) && lo <= b[n] && b[n] <= hi; n++ {
		lo, hi = 0x80, 0xBF
	}
	return n
}
