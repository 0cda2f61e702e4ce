package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TextScore is a function of all activations [t, d] of one text to a number, such as the rest of a model.
type TextScore interface {
	// Values returns the scores of variants of one text's activations.
	Values(ctx context.Context, variants []*mat.Dense) ([]float64, error)
	// Gradients returns the derivative of each variant's score with respect to the variant, [t, d].
	Gradients(ctx context.Context, variants []*mat.Dense) ([]*mat.Dense, error)
}

// MeanScore is a Score of the mean over a text's tokens.
type MeanScore struct{ Score Score }

// Values is TextScore's.
func (s MeanScore) Values(ctx context.Context, variants []*mat.Dense) ([]float64, error) {
	means, err := meansOf(variants)
	if err != nil {
		return nil, err
	}
	return s.Score.Values(ctx, means)
}

// Gradients is TextScore's.
func (s MeanScore) Gradients(ctx context.Context, variants []*mat.Dense) ([]*mat.Dense, error) {
	means, err := meansOf(variants)
	if err != nil {
		return nil, err
	}
	g, err := s.Score.Gradients(ctx, means)
	if err != nil {
		return nil, err
	}
	out := make([]*mat.Dense, len(variants))
	for i, v := range variants {
		t, d := v.Dims()
		out[i] = mat.NewDense(t, d, nil)
		for j := range t {
			floats.AddScaled(out[i].RawRowView(j), 1/float64(t), g.RawRowView(i))
		}
	}
	return out, nil
}

func meansOf(variants []*mat.Dense) (*mat.Dense, error) {
	spans := make([]Span, len(variants))
	for i, v := range variants {
		t, _ := v.Dims()
		spans[i] = Span{Text: i, From: 0, To: t}
	}
	return SpanMeans(variants, spans)
}

// MaskScore is a score of a text as one of masks m [r] over its concepts: head(Centre + (U * m) W), each concept scaled at every
// token alike. Its Importance at masks of ones is that of the concepts in the text.
func (c *Concepts) MaskScore(ctx context.Context, head TextScore, text *mat.Dense) (Score, error) {
	u, err := c.Encode(ctx, text)
	if err != nil {
		return nil, err
	}
	return maskScore{c, head, u}, nil
}

type maskScore struct {
	concepts *Concepts
	head     TextScore
	u        *mat.Dense // [t, r]
}

// variants are the text's activations under each mask.
func (s maskScore) variants(masks *mat.Dense) ([]*mat.Dense, error) {
	n, width := masks.Dims()
	t, r := s.u.Dims()
	if width != r {
		return nil, fmt.Errorf("vectors: masks of %d concepts for %d: %w", width, r, ErrShape)
	}
	all := mat.NewDense(n*t, r, nil)
	for i := range n {
		for j := range t {
			floats.MulTo(all.RawRowView(i*t+j), s.u.RawRowView(j), masks.RawRowView(i))
		}
	}
	decoded, err := s.concepts.Decode(all)
	if err != nil {
		return nil, err
	}
	_, d := decoded.Dims()
	out := make([]*mat.Dense, n)
	for i := range out {
		out[i] = decoded.Slice(i*t, (i+1)*t, 0, d).(*mat.Dense)
	}
	return out, nil
}

func (s maskScore) Values(ctx context.Context, masks *mat.Dense) ([]float64, error) {
	variants, err := s.variants(masks)
	if err != nil {
		return nil, err
	}
	return s.head.Values(ctx, variants)
}

func (s maskScore) Gradients(ctx context.Context, masks *mat.Dense) (*mat.Dense, error) {
	variants, err := s.variants(masks)
	if err != nil {
		return nil, err
	}
	gradients, err := s.head.Gradients(ctx, variants)
	if err != nil {
		return nil, err
	}
	n, r := masks.Dims()
	out := mat.NewDense(n, r, nil)
	for i, g := range gradients {
		along := product(g, s.concepts.W.T()) // [t, r]
		along.MulElem(along, s.u)
		tokens, _ := along.Dims()
		for t := range tokens {
			floats.Add(out.RawRowView(i), along.RawRowView(t))
		}
	}
	return out, nil
}

// Importance is the importance of each concept for each text's score, [texts, r]; head returns the score of a text by its place.
func (c *CRAFT) Importance(ctx context.Context, x Importance, head func(text int) TextScore, texts []*mat.Dense, seed uint64) (*mat.Dense, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("vectors: CRAFT: importance in no text: %w", ErrShape)
	}
	r, _ := c.Concepts.W.Dims()
	out := mat.NewDense(len(texts), r, nil)
	for i, text := range texts {
		f, err := c.Concepts.MaskScore(ctx, head(i), text)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		row, err := x.Attribute(ctx, f, onesMask(r), seed)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		out.SetRow(i, row.RawRowView(0))
	}
	return out, nil
}

// Curves are the Deletion and the Insertion [texts, r+1] of concepts in each text by their importance [texts, r].
func (c *CRAFT) Curves(ctx context.Context, head func(text int) TextScore, texts []*mat.Dense, importance *mat.Dense) (deletion, insertion *mat.Dense, err error) {
	r, _ := c.Concepts.W.Dims()
	if n, ri, err := checkRows("importances", importance); err != nil || n != len(texts) || ri != r {
		return nil, nil, fmt.Errorf("vectors: CRAFT: importances [%d, %d] of %d concepts in %d texts: %w", n, ri, r, len(texts), ErrShape)
	}
	deletion, insertion = mat.NewDense(len(texts), r+1, nil), mat.NewDense(len(texts), r+1, nil)
	for i, text := range texts {
		f, err := c.Concepts.MaskScore(ctx, head(i), text)
		if err != nil {
			return nil, nil, fmt.Errorf("text %d: %w", i, err)
		}
		order := mat.NewDense(1, r, append([]float64(nil), importance.RawRowView(i)...))
		down, err := Deletion(ctx, f, onesMask(r), order)
		if err != nil {
			return nil, nil, fmt.Errorf("text %d: %w", i, err)
		}
		up, err := Insertion(ctx, f, onesMask(r), order)
		if err != nil {
			return nil, nil, fmt.Errorf("text %d: %w", i, err)
		}
		deletion.SetRow(i, down.RawRowView(0))
		insertion.SetRow(i, up.RawRowView(0))
	}
	return deletion, insertion, nil
}

// onesMask leaves all of r concepts as they are.
func onesMask(r int) *mat.Dense {
	ones := mat.NewDense(1, r, nil)
	for k := range r {
		ones.Set(0, k, 1)
	}
	return ones
}
