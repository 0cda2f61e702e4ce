package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Span is the tokens From to To-1 of a text.
type Span struct {
	Text int `json:"text"`
	From int `json:"from"`
	To   int `json:"to"`
}

// Spans cuts texts of the given numbers of tokens into windows of width tokens, each stride after the last: what image crops
// are to CRAFT. The last window ends where the text does, and a text that is shorter than a window is one span; texts
// without tokens have none.
func Spans(lengths []int, width, stride int) ([]Span, error) {
	if width < 1 || stride < 1 || stride > width {
		return nil, fmt.Errorf("vectors: spans of %d tokens, %d apart: %w; the stride is 1 to the width", width, stride, ErrArgument)
	}
	var out []Span
	for i, n := range lengths {
		if n < 0 {
			return nil, fmt.Errorf("vectors: text %d has %d tokens: %w", i, n, ErrArgument)
		}
		for from := 0; from < n; from += stride {
			if from+width >= n {
				out = append(out, Span{i, max(0, n-width), n})
				break
			}
			out = append(out, Span{i, from, from + width})
		}
	}
	return out, nil
}

// SpanMeans are the means of each span's rows, [spans, d], of texts with activations [tokens, d].
func SpanMeans(texts []*mat.Dense, spans []Span) (*mat.Dense, error) {
	if len(spans) == 0 || len(texts) == 0 {
		return nil, fmt.Errorf("vectors: means of %d spans of %d texts: %w", len(spans), len(texts), ErrShape)
	}
	_, d := texts[0].Dims()
	out := mat.NewDense(len(spans), d, nil)
	for i, s := range spans {
		if s.Text < 0 || s.Text >= len(texts) {
			return nil, fmt.Errorf("vectors: span %d is of text %d of %d: %w", i, s.Text, len(texts), ErrShape)
		}
		n, width := texts[s.Text].Dims()
		if width != d || s.From < 0 || s.To > n || s.From >= s.To {
			return nil, fmt.Errorf("vectors: span %d is tokens %d to %d of text %d, whose activations are [%d, %d]: %w", i, s.From, s.To, s.Text, n, width, ErrShape)
		}
		for t := s.From; t < s.To; t++ {
			floats.Add(out.RawRowView(i), texts[s.Text].RawRowView(t))
		}
		floats.Scale(1/float64(s.To-s.From), out.RawRowView(i))
	}
	return out, nil
}
