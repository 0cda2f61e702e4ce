package erase

import (
	"fmt"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// The places of a text that an eraser works on.
const (
	SelectLast = "last" // the last token that is not special: the end of a concept's name
	SelectAll  = "all"  // every token that is not special
	SelectEOS  = "eos"  // the special token at the end
	SelectCLS  = "cls"  // the special token at the start
	SelectMean = "mean" // the mean over all valid tokens
)

// Selectors lists them.
func Selectors() []string {
	return []string{SelectLast, SelectAll, SelectEOS, SelectCLS, SelectMean}
}

// Select returns a text's rows [n, d] at the named place, one row but for "all". special [T] marks the tokens that the tokenizer
// added, as a store's column does.
func Select(t Text, special []bool, selector string) (*mat.Dense, error) {
	tokens, d, err := checkRows("text", t.X, 0)
	if err != nil {
		return nil, err
	}
	if len(special) != tokens || t.Length < 1 || t.Length > tokens {
		return nil, fmt.Errorf("erase: text of %d tokens, %d valid, with %d marks of special ones: %w", tokens, t.Length, len(special), vectors.ErrShape)
	}
	var words []int
	for i := range t.Length {
		if !special[i] {
			words = append(words, i)
		}
	}
	var rows []int
	switch selector {
	case SelectLast:
		if len(words) > 0 {
			rows = words[len(words)-1:]
		}
	case SelectAll:
		rows = words
	case SelectEOS:
		if special[t.Length-1] {
			rows = []int{t.Length - 1}
		}
	case SelectCLS:
		if special[0] {
			rows = []int{0}
		}
	case SelectMean:
		out := mat.NewDense(1, d, nil)
		for i := range t.Length {
			floats.AddScaled(out.RawRowView(0), 1/float64(t.Length), t.X.RawRowView(i))
		}
		return out, nil
	default:
		return nil, fmt.Errorf("erase: token selector %q is unknown: %w; use one of %s", selector, vectors.ErrArgument, strings.Join(Selectors(), ", "))
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("erase: the text has no token for the selector %q: %w; use %q or a tokenizer that adds special tokens", selector, vectors.ErrArgument, SelectMean)
	}
	out := mat.NewDense(len(rows), d, nil)
	for i, at := range rows {
		out.SetRow(i, t.X.RawRowView(at))
	}
	return out, nil
}
