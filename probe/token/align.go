package token

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNotAligned is returned for two texts whose tokens cannot be laid side by side.
var ErrNotAligned = errors.New("the tokens do not align")

// Aligned says which tokens of two texts stand for each other: those before the spans one by one, the spans as a whole, and
// those after them one by one.
type Aligned struct {
	A, B         Encoding
	ARange       [2]int // tokens of the span in A, half-open
	BRange       [2]int
	EqualLengths bool // the spans have equally many tokens, so that every position of A has one of B
}

// Align encodes two texts that differ in a span of each, given in code points, half-open, and checks that the tokenizer keeps
// them apart: no token crosses a span's border, and the tokens before and after are the same. A counterfactual pair that does not
// align changes more positions than its words; patching it would compare different ones.
func (t *Tokenizer) Align(a, b string, spanA, spanB [2]int, opt EncodeOptions) (Aligned, error) {
	var out Aligned
	var err error
	if out.A, err = t.Encode(a, opt); err != nil {
		return out, err
	}
	if out.B, err = t.Encode(b, opt); err != nil {
		return out, err
	}
	if out.ARange, err = out.A.within(spanA); err != nil {
		return out, fmt.Errorf("token: align %q: %w", a, err)
	}
	if out.BRange, err = out.B.within(spanB); err != nil {
		return out, fmt.Errorf("token: align %q: %w", b, err)
	}
	if !slices.Equal(out.A.IDs[:out.ARange[0]], out.B.IDs[:out.BRange[0]]) {
		return out, fmt.Errorf("token: align %q and %q: the tokens before the spans differ: %w", a, b, ErrNotAligned)
	}
	if !slices.Equal(out.A.IDs[out.ARange[1]:], out.B.IDs[out.BRange[1]:]) {
		return out, fmt.Errorf("token: align %q and %q: the tokens after the spans differ: %w", a, b, ErrNotAligned)
	}
	out.EqualLengths = out.ARange[1]-out.ARange[0] == out.BRange[1]-out.BRange[0]
	return out, nil
}

// within returns the tokens that make up a span of the text. A space that a token takes in before its word is no crossing.
func (e *Encoding) within(span [2]int) ([2]int, error) {
	if span[0] < 0 || span[1] <= span[0] {
		return [2]int{}, fmt.Errorf("span [%d, %d) is empty: %w", span[0], span[1], ErrNotAligned)
	}
	from, to := -1, -1
	for i, o := range e.Offsets {
		if e.Special[i] || o[1] <= span[0] || o[0] >= span[1] {
			continue
		}
		if from < 0 {
			from = i
			if o[0] < span[0]-1 {
				return [2]int{}, fmt.Errorf("token %q begins before the span [%d, %d): %w", e.Tokens[i], span[0], span[1], ErrNotAligned)
			}
		}
		if to = i + 1; o[1] > span[1] {
			return [2]int{}, fmt.Errorf("token %q ends after the span [%d, %d): %w", e.Tokens[i], span[0], span[1], ErrNotAligned)
		}
	}
	if from < 0 {
		return [2]int{}, fmt.Errorf("no token lies in the span [%d, %d): %w", span[0], span[1], ErrNotAligned)
	}
	return [2]int{from, to}, nil
}

// ToB maps a token of A outside the span to its twin in B; ok is false inside the span unless both spans have equally many
// tokens.
func (p *Aligned) ToB(i int) (at int, ok bool) {
	switch {
	case i < 0 || i >= p.A.Len():
		return 0, false
	case i < p.ARange[0]:
		return i, true
	case i >= p.ARange[1]:
		return i - p.ARange[1] + p.BRange[1], true
	}
	return i - p.ARange[0] + p.BRange[0], p.EqualLengths
}
