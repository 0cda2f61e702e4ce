package text

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Pair is a counterfactual pair: the same sentence with and without the concept.
type Pair struct {
	Positive, Negative Labelled
	Align              Alignment
}

// Alignment maps code points between two texts: A[ARange[0]:ARange[1]] stands where B[BRange[0]:BRange[1]] does, and
// what is before and after has equal length and reads alike.
type Alignment struct {
	ARange, BRange [2]int // half-open, in code points
}

// Pairs puts the sentences that Generate returned together again, and aligns each pair at its words.
func Pairs(sentences []Labelled) ([]Pair, error) {
	var out []Pair
	for i := 0; i < len(sentences); i += 2 {
		if i+1 == len(sentences) || !sentences[i].Positive || sentences[i+1].Positive || sentences[i].Pair != sentences[i+1].Pair {
			return nil, fmt.Errorf("text: sentence %d: no positive followed by its negative; pass what Generate returned, in its order", i)
		}
		a, err := Align(sentences[i], sentences[i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, Pair{Positive: sentences[i], Negative: sentences[i+1], Align: a})
	}
	return out, nil
}

// Align aligns two sentences of one template at their words. Apart from the word they may differ in the mark that ends
// them; another difference is an error.
func Align(a, b Labelled) (Alignment, error) {
	beforeA, afterA := a.around()
	beforeB, afterB := b.around()
	if a.Template != b.Template || beforeA != beforeB || utf8.RuneCountInString(afterA) != utf8.RuneCountInString(afterB) ||
		strings.TrimRight(afterA, ".?") != strings.TrimRight(afterB, ".?") {
		return Alignment{}, fmt.Errorf("text: %q and %q differ outside their words; align sentences of one pair", a.Text, b.Text)
	}
	return Alignment{ARange: a.Span, BRange: b.Span}, nil
}

// around is the text before and after the word.
func (l Labelled) around() (before, after string) {
	return l.Text[:byteOffset(l.Text, l.Span[0])], l.Text[byteOffset(l.Text, l.Span[1]):]
}

// ToB maps a code point offset of A to the one of B with the same neighbour outside the word. An offset inside the
// word has none: ok is false.
func (a Alignment) ToB(offset int) (at int, ok bool) {
	switch {
	case offset <= a.ARange[0]:
		return offset, true
	case offset >= a.ARange[1]:
		return offset - a.ARange[1] + a.BRange[1], true
	}
	return 0, false
}

// SameLength tells whether both words have the same number of code points, so that all offsets are equal.
func (p Pair) SameLength() bool {
	return utf8.RuneCountInString(p.Positive.Word) == utf8.RuneCountInString(p.Negative.Word)
}
