package token

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"loupe/internal/graphtest"
)

// spanOf is where a word stands in a text, in code points.
func spanOf(text, word string) [2]int {
	at := utf8.RuneCountInString(text[:strings.Index(text, word)])
	return [2]int{at, at + utf8.RuneCountInString(word)}
}

// modelFile is what Load reads of a default model.
func modelFile(t *testing.T, name string) string {
	dir := graphtest.Model(t, name)
	if name == "smollm2" {
		return filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	return dir
}

// TestAlign lays real pairs side by side: what lies outside the words has equal tokens, and words of other lengths are found.
func TestAlign(t *testing.T) {
	for _, name := range []string{"minilm", "smollm2"} {
		tok, err := Load(modelFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			a, wordA, b, wordB string
			equal              bool
		}{
			{"The cat sat on the mat.", "cat", "The dog sat on the mat.", "dog", true},
			{"We saw a rhinoceros today.", "rhinoceros", "We saw a cat today.", "cat", false},
			{"Café music is loud.", "music", "Café food is loud.", "food", true},
			{"Paris is large.", "Paris", "London is large.", "London", true},
		} {
			p, err := tok.Align(c.a, c.b, spanOf(c.a, c.wordA), spanOf(c.b, c.wordB), EncodeOptions{AddSpecial: true})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if p.EqualLengths != c.equal {
				t.Errorf("%s, %q and %q: tokens %v and %v", name, c.wordA, c.wordB, p.A.Tokens, p.B.Tokens)
			}
			seen := 0
			for i := range p.A.IDs {
				at, ok := p.ToB(i)
				inside := i >= p.ARange[0] && i < p.ARange[1]
				if ok != (!inside || c.equal) || !inside && p.A.IDs[i] != p.B.IDs[at] {
					t.Errorf("%s, %q: token %d goes to %d, %v", name, c.a, i, at, ok)
				}
				if ok {
					seen++
				}
			}
			if seen == 0 {
				t.Errorf("%s: nothing aligned", name)
			}
			if at, ok := p.ToB(p.A.Len()); ok {
				t.Errorf("a token past the end goes to %d", at)
			}
		}
	}
}

// TestAlignRefuses names the token that crosses a span, and pairs that differ elsewhere.
func TestAlignRefuses(t *testing.T) {
	tok, err := Load(modelFile(t, "smollm2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a, b         string
		spanA, spanB [2]int
		want         string
	}{
		{"The cat sat.", "The dog sat.", [2]int{5, 7}, [2]int{4, 7}, "begins before the span"},
		{"The cat sat.", "The dog sat.", [2]int{4, 6}, [2]int{4, 7}, "ends after the span"},
		{"The cat sat.", "The dog ran.", [2]int{4, 7}, [2]int{4, 7}, "after the spans differ"},
		{"A cat sat.", "The dog sat.", [2]int{2, 5}, [2]int{4, 7}, "before the spans differ"},
		{"The cat sat.", "The dog sat.", [2]int{4, 4}, [2]int{4, 7}, "is empty"},
		{"The cat sat.", "The dog sat.", [2]int{90, 95}, [2]int{4, 7}, "no token lies"},
	} {
		_, err := tok.Align(c.a, c.b, c.spanA, c.spanB, EncodeOptions{AddSpecial: true})
		if !errors.Is(err, ErrNotAligned) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %v: %v", c.a, c.spanA, err)
		}
	}
}
