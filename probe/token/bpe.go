package token

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe is byte-pair encoding (arXiv:1508.07909): a word starts as characters, and the neighbouring pair of lowest rank is merged
// until none of the remaining pairs has a rank. With byte-level pre-tokenization its characters stand for bytes.
type bpe struct {
	*vocabulary
	merges       map[pair]merge
	unk          int32 // -1: characters outside the vocabulary are dropped
	prefix       string
	suffix       string
	fuseUnk      bool
	byteFallback bool
	ignoreMerges bool // a word that is a token is taken as it is
	bytes        [256]int32
}

// pair is two neighbouring symbols.
type pair struct{ left, right int32 }

// merge is the rank of a pair, lower first, and the symbol that it becomes.
type merge struct{ rank, id int32 }

// symbol is a token and the number of bytes of the word that it covers.
type symbol struct{ id, size int32 }

// mergeList reads merges in both spellings: "a b" and ["a", "b"].
type mergeList [][2]string

func (m *mergeList) UnmarshalJSON(raw []byte) error {
	var pairs [][2]string
	var lines []string
	if err := json.Unmarshal(raw, &pairs); err == nil {
		*m = pairs
		return nil
	}
	if err := json.Unmarshal(raw, &lines); err != nil {
		return fmt.Errorf("merges are neither pairs nor lines: %w", err)
	}
	merges, err := splitMerges(lines)
	*m = merges
	return err
}

// splitMerges reads merges that are written as two tokens with a space between them.
func splitMerges(lines []string) (mergeList, error) {
	merges := make(mergeList, 0, len(lines))
	for _, line := range lines {
		if strings.HasPrefix(line, "#version") {
			continue
		}
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return nil, fmt.Errorf("merge %d, %q, is not two tokens", len(merges), line)
		}
		merges = append(merges, [2]string{left, right})
	}
	return merges, nil
}

func parseBPE(raw json.RawMessage) (model, *vocabulary, error) {
	var c struct {
		header
		Dropout      *float64         `json:"dropout"`
		Unk          *string          `json:"unk_token"`
		Prefix       string           `json:"continuing_subword_prefix"`
		Suffix       string           `json:"end_of_word_suffix"`
		FuseUnk      bool             `json:"fuse_unk"`
		ByteFallback bool             `json:"byte_fallback"`
		IgnoreMerges bool             `json:"ignore_merges"`
		Vocab        map[string]int32 `json:"vocab"`
		Merges       mergeList        `json:"merges"`
	}
	if err := decode(stageModel, "BPE", raw, &c); err != nil {
		return nil, nil, err
	}
	if c.Dropout != nil && *c.Dropout != 0 {
		return nil, nil, fmt.Errorf("token: model BPE: dropout %v: %w; its ids are random, set it to null", *c.Dropout, ErrUnsupported)
	}
	v, err := newVocabulary(c.Vocab)
	if err != nil {
		return nil, nil, err
	}
	m := &bpe{vocabulary: v, unk: -1, prefix: c.Prefix, suffix: c.Suffix, fuseUnk: c.FuseUnk, byteFallback: c.ByteFallback,
		ignoreMerges: c.IgnoreMerges}
	if c.Unk != nil {
		if m.unk, err = required("model BPE", v, *c.Unk); err != nil {
			return nil, nil, err
		}
	}
	if err := m.init(c.Merges); err != nil {
		return nil, nil, err
	}
	return m, v, nil
}

// init fills the tables that follow from the vocabulary.
func (m *bpe) init(merges mergeList) error {
	m.merges = make(map[pair]merge, len(merges))
	for rank, ab := range merges {
		left, okLeft := m.ids[ab[0]]
		right, okRight := m.ids[ab[1]]
		tail, okPrefix := ab[1], len(ab[1]) >= len(m.prefix)
		if okPrefix {
			tail = ab[1][len(m.prefix):]
		}
		id, okMerged := m.ids[ab[0]+tail]
		if !okLeft || !okRight || !okPrefix || !okMerged {
			return fmt.Errorf("token: model BPE: merge %d, %q with %q, has a part or a result that is not in the vocabulary", rank, ab[0], ab[1])
		}
		m.merges[pair{left, right}] = merge{int32(rank), id}
	}
	for b := range m.bytes {
		id, ok := m.ids[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = -1
		}
		m.bytes[b] = id
	}
	return nil
}

func (m *bpe) tokenize(word string, out []unit) ([]unit, error) {
	if m.ignoreMerges {
		if id, ok := m.ids[word]; ok {
			return append(out, unit{id: id, hi: int32(len(word))}), nil
		}
	}
	pos := int32(0)
	for _, s := range m.mergeAll(m.split(word)) {
		out = append(out, unit{id: s.id, lo: pos, hi: pos + s.size})
		pos += s.size
	}
	return out, nil
}

// split returns the characters of a word as symbols.
func (m *bpe) split(word string) []symbol {
	symbols := make([]symbol, 0, len(word))
	var unk symbol // pending unknown characters
	flush := func() {
		if unk.size > 0 {
			symbols = append(symbols, unk)
			unk = symbol{}
		}
	}
	for i := 0; i < len(word); {
		_, n := utf8.DecodeRuneInString(word[i:])
		char := word[i : i+n]
		if i > 0 && m.prefix != "" {
			char = m.prefix + char
		}
		if i+n == len(word) && m.suffix != "" {
			char += m.suffix
		}
		i += n
		if id, ok := m.ids[char]; ok {
			flush()
			symbols = append(symbols, symbol{id, int32(n)})
			continue
		}
		if m.byteFallback && m.allBytes(char) {
			for k := range len(char) {
				symbols = append(symbols, symbol{m.bytes[char[k]], 1})
			}
			continue
		}
		if m.unk < 0 {
			continue
		}
		if !m.fuseUnk {
			flush()
		}
		unk = symbol{m.unk, unk.size + int32(n)}
	}
	flush()
	return symbols
}

// allBytes tells whether every byte of s has a token of its own.
func (m *bpe) allBytes(s string) bool {
	for k := range len(s) {
		if m.bytes[s[k]] < 0 {
			return false
		}
	}
	return true
}
