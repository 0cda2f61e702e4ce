package token

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// addedToken is a token that is cut out of the text before the model sees it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no word character touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // takes the white space after it along
	Normalized bool   `json:"normalized"`  // is looked for in the normalised text
	Special    bool   `json:"special"`     // structure rather than text: can be left out on decoding

	normal string // the content as the normalizer leaves it, if Normalized
}

// addedTokens holds the added tokens and finds them in text, leftmost and longest first.
type addedTokens struct {
	byID    map[int32]*addedToken
	byText  map[string]int32
	special map[string]bool
	raw     finder // of tokens that are looked for in the original text
	normal  finder // of tokens that are looked for in the normalised text
}

// newAddedTokens gives ids as the reference implementation does: a token of the model's vocabulary keeps its id, others are
// numbered from the end of the vocabulary, in order. The ids in the file say the same unless the file was edited.
func newAddedTokens(tokens []addedToken, v *vocabulary, n normalizer) (*addedTokens, error) {
	a := &addedTokens{byID: map[int32]*addedToken{}, byText: map[string]int32{}, special: map[string]bool{},
		raw: newFinder(), normal: newFinder()}
	next := int32(v.size)
	for i := range tokens {
		t := tokens[i]
		if t.Content == "" {
			continue
		}
		if old, ok := a.byText[t.Content]; ok {
			t.ID = old
		} else if t.ID, ok = v.ids[t.Content]; !ok {
			t.ID = next
			next++
		}
		if t.normal = t.Content; t.Normalized && n != nil {
			t.normal = n.normalize(newPiece(t.Content)).text
		}
		a.byText[t.Content] = t.ID
		a.byID[t.ID] = &t
		if t.Special {
			a.special[t.Content] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.byID)) {
		t, f := a.byID[id], &a.raw
		if t.Normalized {
			f = &a.normal
		}
		if !f.add(t.normal, id) {
			return nil, fmt.Errorf("token: added token %q becomes %q, which is empty or that of another added token", t.Content, t.normal)
		}
	}
	return a, nil
}

// token returns the text that decoding sees.
func (a *addedTokens) token(id int32) (string, bool) {
	t, ok := a.byID[id]
	if !ok {
		return "", false
	}
	return t.normal, true
}

// extract cuts the added tokens out of a text and normalises the rest.
func (a *addedTokens) extract(text string, n normalizer) []piece {
	var out []piece
	for _, p := range a.cut(newPiece(text), a.raw, nil) {
		if p.added != notAdded {
			out = append(out, p)
			continue
		}
		if n != nil {
			p = n.normalize(p)
		}
		out = a.cut(p, a.normal, out)
	}
	return out
}

// cut appends the parts of p to out, with the added tokens among them marked.
func (a *addedTokens) cut(p piece, f finder, out []piece) []piece {
	text, end := p.text, 0
	for i := 0; i < len(text); {
		n, id := f.longest(text[i:])
		if n == 0 {
			i++
			continue
		}
		t, lo, hi := a.byID[id], i, i+n
		i = hi
		if t.SingleWord && (endsInWord(text[:lo]) || beginsWithWord(text[hi:])) {
			continue
		}
		if t.LStrip {
			lo = max(len(strings.TrimRightFunc(text[:lo], isSpace)), end)
		}
		if t.RStrip {
			hi = len(text) - len(strings.TrimLeftFunc(text[hi:], isSpace))
		}
		if end < lo {
			out = append(out, p.slice(end, lo))
		}
		token := p.slice(lo, hi)
		token.added = id
		out = append(out, token)
		end = hi
	}
	if end < len(text) {
		out = append(out, p.slice(end, len(text)))
	}
	return out
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func beginsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

// finder holds a set of strings.
type finder struct {
	*trie
	starts [256]bool // first bytes
}

func newFinder() finder { return finder{trie: newTrie()} }

// add reports whether s was new and not empty.
func (f *finder) add(s string, id int32) bool {
	if s == "" {
		return false
	}
	fresh := true
	f.prefixes(s, func(n int, _ int32) { fresh = fresh && n != len(s) })
	f.starts[s[0]] = true
	f.trie.add(s, id)
	return fresh
}

// longest returns the length and id of the longest string of the set that text begins with.
func (f *finder) longest(text string) (length int, id int32) {
	if !f.starts[text[0]] {
		return 0, 0
	}
	f.prefixes(text, func(n int, found int32) { length, id = n, found })
	return length, id
}
