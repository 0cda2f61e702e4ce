package token

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// unigram is the unigram language model of SentencePiece (arXiv:1804.10959): of all ways to cut a word into tokens it takes the one
// with the largest sum of log-probabilities (Viterbi). A character that no token begins costs unkPenalty more than the rarest token;
// neighbouring unknown characters become one unknown token.
type unigram struct {
	*vocabulary
	scores       []float64 // by id
	unk          int32     // -1: an unknown character is an error
	unkScore     float64
	byteFallback bool
	trie         *trie
}

const unkPenalty = 10

// scoredToken is ["token", log-probability].
type scoredToken struct {
	token string
	score float64
}

func (s *scoredToken) UnmarshalJSON(raw []byte) error {
	parts := []any{&s.token, &s.score}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("%s is not a token and its score", raw)
	}
	return nil
}

func parseUnigram(raw json.RawMessage) (model, *vocabulary, error) {
	var c struct {
		header
		Unk          *int32        `json:"unk_id"`
		Vocab        []scoredToken `json:"vocab"`
		ByteFallback bool          `json:"byte_fallback"`
	}
	if err := decode(stageModel, "Unigram", raw, &c); err != nil {
		return nil, nil, err
	}
	m := &unigram{unk: -1, unkScore: math.Inf(1), byteFallback: c.ByteFallback, trie: newTrie()}
	ids := make(map[string]int32, len(c.Vocab))
	m.scores = make([]float64, len(c.Vocab))
	for id, s := range c.Vocab {
		ids[s.token] = int32(id) // of two equal tokens the last counts
		m.scores[id] = s.score
		m.unkScore = min(m.unkScore, s.score)
	}
	m.unkScore -= unkPenalty
	if c.Unk != nil {
		m.unk = *c.Unk
		if m.unk < 0 || int(m.unk) >= len(c.Vocab) {
			return nil, nil, fmt.Errorf("token: model Unigram: unk_id is %d, but there are %d tokens", m.unk, len(c.Vocab))
		}
	}
	for token, id := range ids {
		m.trie.add(token, id)
	}
	tokens := make([]string, len(c.Vocab))
	used := make([]bool, len(c.Vocab))
	for id, s := range c.Vocab {
		tokens[id], used[id] = s.token, true
	}
	m.vocabulary = &vocabulary{ids: ids, tokens: tokens, used: used, size: len(tokens)}
	return m, m.vocabulary, nil
}

// step is the best way to reach a place in the word: the token that ends there, where it starts, and the total score.
type step struct {
	id    int32
	start int32 // -1: not reached
	score float64
}

func (m *unigram) tokenize(word string, out []unit) ([]unit, error) {
	best := make([]step, len(word)+1)
	for i := range best {
		best[i].start = -1
	}
	for i, r := range word {
		size := utf8.RuneLen(r)
		whole := false // some token is just this character
		here := best[i].score
		m.trie.prefixes(word[i:], func(n int, id int32) {
			consider(&best[i+n], step{id, int32(i), here + m.scores[id]})
			whole = whole || n == size
		})
		if !whole && consider(&best[i+size], step{m.unk, int32(i), here + m.unkScore}) && m.unk < 0 {
			return nil, fmt.Errorf("token: model Unigram: no token for %q and no unknown token; set unk_id in tokenizer.json", r)
		}
	}
	first := len(out)
	for end := int32(len(word)); end > 0; {
		s := best[end]
		start := s.start
		// A run of unknown characters is one token.
		for s.id == m.unk && start > 0 && best[start].id == m.unk {
			start = best[start].start
		}
		out = append(out, unit{id: s.id, lo: start, hi: end})
		end = start
	}
	for i, j := first, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return m.resolve(word, out, first), nil
}

// consider keeps s if it is the best way so far.
func consider(at *step, s step) bool {
	if at.start >= 0 && s.score <= at.score {
		return false
	}
	*at = s
	return true
}

// resolve gives units their final form: the surface text, and bytes for unknown text when there is a token for each.
func (m *unigram) resolve(word string, units []unit, first int) []unit {
	out := units[:first:first]
	for _, u := range units[first:] {
		text := word[u.lo:u.hi]
		id, ok := m.ids[text]
		if ok {
			u.id = id
			out = append(out, u)
			continue
		}
		if bytes := m.byteUnits(text, u); bytes != nil {
			out = append(out, bytes...)
			continue
		}
		u.id, u.text = m.unk, text
		out = append(out, u)
	}
	return out
}

// byteUnits returns a unit for every byte of text, all with the place of u, or nil.
func (m *unigram) byteUnits(text string, u unit) []unit {
	if !m.byteFallback {
		return nil
	}
	const digits = "0123456789ABCDEF"
	out := make([]unit, len(text))
	for k := range len(text) {
		id, ok := m.ids["<0x"+string(digits[text[k]>>4])+string(digits[text[k]&15])+">"]
		if !ok {
			return nil
		}
		out[k] = unit{id: id, lo: u.lo, hi: u.hi}
	}
	return out
}

// trie finds the tokens that begin a text.
type trie struct {
	next  map[trieKey]int32
	token []int32 // by node; -1: none ends here
}

type trieKey struct {
	node int32
	b    byte
}

func newTrie() *trie { return &trie{next: map[trieKey]int32{}, token: []int32{-1}} }

func (t *trie) add(token string, id int32) {
	node := int32(0)
	for i := range len(token) {
		key := trieKey{node, token[i]}
		next, ok := t.next[key]
		if !ok {
			next = int32(len(t.token))
			t.token = append(t.token, -1)
			t.next[key] = next
		}
		node = next
	}
	t.token[node] = id
}

// prefixes calls visit with the length and id of every token that text begins with, shortest first.
func (t *trie) prefixes(text string, visit func(n int, id int32)) {
	node := int32(0)
	for i := range len(text) {
		next, ok := t.next[trieKey{node, text[i]}]
		if !ok {
			return
		}
		if node = next; t.token[node] >= 0 {
			visit(i+1, t.token[node])
		}
	}
}
