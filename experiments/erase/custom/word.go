package custom

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/experiments/erase/encoder"
	"loupe/probe/token"
	"loupe/vectors"
)

// NewWord stands in a pattern for a word that is learned.
const NewWord = "<new1>"

// Prompt is a text with one place for a word embedding that is given.
type Prompt struct {
	token.Encoding
	At     int        // position of the word
	embeds *mat.Dense // [T, d]
}

// NewPrompt makes a prompt of a pattern in which NewWord stands once, between spaces: "a photo of a <new1> dog".
func NewPrompt(e *encoder.Encoder, pattern string) (Prompt, error) {
	before, after, ok := strings.Cut(pattern, NewWord)
	if !ok || strings.Contains(after, NewWord) {
		return Prompt{}, fmt.Errorf("custom: pattern %q: %w; it needs %s once", pattern, vectors.ErrArgument, NewWord)
	}
	before = strings.TrimRight(before, " ")
	text, err := e.Tokens(strings.TrimLeft(before+after, " "))
	if err != nil {
		return Prompt{}, fmt.Errorf("custom: %w", err)
	}
	end, at, words := utf8.RuneCountInString(before), 0, 0
	for i := range text.IDs {
		switch added := text.Special[i] && text.Offsets[i] == [2]int{}; {
		case added && words == 0: // in front of the text
			at = i + 1
		case !added:
			words++
			if text.Offsets[i][1] <= end {
				at = i + 1
			}
		}
	}
	if words == 0 {
		return Prompt{}, fmt.Errorf("custom: pattern %q has no word beside %s: %w", pattern, NewWord, vectors.ErrArgument)
	}
	p := Prompt{Encoding: encoder.Insert(text, at, []int32{0}), At: at} // the id is not read
	soft, err := e.Soften(p.Encoding)
	if err != nil {
		return Prompt{}, fmt.Errorf("custom: %w", err)
	}
	p.embeds = soft.Embeds
	return p, nil
}

// Prompts makes one of each pattern.
func Prompts(e *encoder.Encoder, patterns []string) ([]Prompt, error) {
	out := make([]Prompt, len(patterns))
	for i, p := range patterns {
		var err error
		if out[i], err = NewPrompt(e, p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Soft puts the word embedding [d] into the prompt.
func (p Prompt) Soft(word []float64) *encoder.Soft {
	x := mat.DenseCopyOf(p.embeds)
	x.SetRow(p.At, word)
	return &encoder.Soft{Encoding: p.Encoding, Embeds: x}
}

// RandomWords draws k word embeddings [k, d] by rng: Gaussian, each entry with the mean and the deviation that it has over the
// words of the given ids.
func RandomWords(e *encoder.Encoder, k int, ids []int32, rng *rand.Rand) (*mat.Dense, error) {
	if k < 1 || len(ids) < 2 {
		return nil, fmt.Errorf("custom: %d words like %d: %w; it needs one and two", k, len(ids), vectors.ErrArgument)
	}
	like, err := e.WordEmbeddings(slices.Clone(ids))
	if err != nil {
		return nil, fmt.Errorf("custom: %w", err)
	}
	out := mat.NewDense(k, e.Width(), nil)
	column := make([]float64, len(ids))
	for j := range e.Width() {
		mean, deviation := stat.MeanStdDev(mat.Col(column, j, like), nil)
		for i := range k {
			out.Set(i, j, mean+deviation*rng.NormFloat64())
		}
	}
	return out, nil
}
