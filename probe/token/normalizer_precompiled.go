package token

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// precompiled is SentencePiece's compiled character map: a double-array trie (darts-clone) over the bytes to replace, whose
// values point into a pool of NUL-terminated replacements.
//
// As in the reference implementation a grapheme cluster of fewer than 6 bytes is looked up whole, anything else character by
// character, and the shortest prefix that the trie knows decides.
type precompiled struct {
	trie []uint32
	pool string
}

func parsePrecompiled(raw json.RawMessage) (normalizer, error) {
	var c struct {
		header
		Charsmap *string `json:"precompiled_charsmap"`
	}
	if err := decode(stageNormalizer, "Precompiled", raw, &c); err != nil {
		return nil, err
	}
	if c.Charsmap == nil || *c.Charsmap == "" {
		return normalizerSequence{}, nil
	}
	blob, err := base64.StdEncoding.DecodeString(*c.Charsmap)
	if err != nil {
		return nil, fmt.Errorf("token: normalizer Precompiled: charsmap: %w", err)
	}
	if len(blob) < 4 {
		return nil, fmt.Errorf("token: normalizer Precompiled: charsmap of %d bytes has no header", len(blob))
	}
	size := int64(binary.LittleEndian.Uint32(blob))
	if size < 4 || size > int64(len(blob)-4) {
		return nil, fmt.Errorf("token: normalizer Precompiled: the trie should take %d of %d bytes", size, len(blob)-4)
	}
	n := &precompiled{trie: make([]uint32, size/4)}
	for i := range n.trie {
		n.trie[i] = binary.LittleEndian.Uint32(blob[4+4*i:])
	}
	n.pool = string(blob[4+4*len(n.trie):])
	if !utf8.ValidString(n.pool) {
		return nil, fmt.Errorf("token: normalizer Precompiled: the replacements are not valid UTF-8")
	}
	return n, nil
}

func (n *precompiled) normalize(p piece) piece {
	var changes []change
	modified := false
	for rest, state := p.text, -1; rest != ""; {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if len(cluster) < 6 {
			if to, ok := n.lookup(cluster); ok {
				changes = substitute(changes, utf8.RuneCountInString(cluster), to)
				modified = true
				continue
			}
		}
		for i, r := range cluster {
			if to, ok := n.lookup(cluster[i : i+utf8.RuneLen(r)]); ok {
				changes = substitute(changes, 1, to)
				modified = true
			} else {
				changes = append(changes, change{r, 0})
			}
		}
	}
	if !modified {
		return p
	}
	w := newRewriter(p)
	for _, c := range changes {
		w.apply(c)
	}
	return w.piece()
}

// substitute puts to in the place of the next n characters. Characters are paired from the left; what is left over is inserted
// after the last pair, or dropped with the character written last. (A removal at the very start has none, and then the reference
// implementation forgets it: the offsets behind it lag. They do here too.)
func substitute(changes []change, n int, to string) []change {
	for _, r := range to {
		changes = append(changes, change{r, 0})
	}
	switch extra := utf8.RuneCountInString(to) - n; {
	case extra > 0:
		for i := range extra {
			changes[len(changes)-1-i].n = 1
		}
	case len(changes) > 0:
		changes[len(changes)-1].n += extra
	}
	return changes
}

// lookup returns the replacement of the shortest prefix of key in the trie. Units of the double array: bits 0-7 and 31 label,
// 8 leaf, 9 and 10-30 offset.
func (n *precompiled) lookup(key string) (string, bool) {
	unit := n.trie[0]
	pos := offset(unit)
	for i := 0; i < len(key) && key[i] != 0; i++ {
		pos ^= uint32(key[i])
		if int64(pos) >= int64(len(n.trie)) {
			return "", false
		}
		unit = n.trie[pos]
		if unit&(1<<31|0xFF) != uint32(key[i]) {
			return "", false
		}
		pos ^= offset(unit)
		if unit>>8&1 == 1 {
			if int64(pos) >= int64(len(n.trie)) {
				return "", false
			}
			start := int(n.trie[pos] & (1<<31 - 1))
			if start > len(n.pool) || start < len(n.pool) && !utf8.RuneStart(n.pool[start]) {
				return "", false
			}
			to, _, _ := strings.Cut(n.pool[start:], "\x00")
			return to, true
		}
	}
	return "", false
}

func offset(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
