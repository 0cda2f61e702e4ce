package bottleneck

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/token"
	"loupe/vectors"
)

// Attribution is what each token of a text adds to a direction's score.
type Attribution struct {
	Scores   []float64 // [t]; 0 for tokens of the template, which stay in place
	Score    float64   // w.E(text)
	Baseline float64   // w.E of the text with every token of its own replaced
}

// Missing is the token that stands for an absent one: the model's mask, else its padding.
func (e *Encoder) Missing() (int32, error) {
	s := e.tokenizer.Specials()
	for _, id := range []int32{s.MASK, s.PAD} {
		if id != token.None {
			return id, nil
		}
	}
	return 0, argument("the tokenizer has neither a mask nor a padding token to stand for an absent one")
}

// LeaveOneOut scores each token of text i by how much w_i.E falls when the token is replaced by the missing one, where w [n, d]
// has one direction for each text: a concept's, or a head's weights. Special tokens are left alone.
func (e *Encoder) LeaveOneOut(ctx context.Context, texts []Tokens, w *mat.Dense, missing int32) ([]Attribution, error) {
	if err := e.checkTexts(texts, w); err != nil {
		return nil, err
	}
	var ids [][]int32
	for _, t := range texts {
		ids = append(ids, t.IDs, replaced(t, missing))
		for p := range t.IDs {
			if !t.Special[p] {
				without := append([]int32(nil), t.IDs...)
				without[p] = missing
				ids = append(ids, without)
			}
		}
	}
	x, err := e.EmbedTokens(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]Attribution, len(texts))
	at := 0
	next := func(i int) float64 {
		at++
		return floats.Dot(w.RawRowView(i), x.RawRowView(at-1))
	}
	for i, t := range texts {
		out[i] = Attribution{Score: next(i), Baseline: next(i), Scores: make([]float64, len(t.IDs))}
		for p := range t.IDs {
			if !t.Special[p] {
				out[i].Scores[p] = out[i].Score - next(i)
			}
		}
	}
	return out, nil
}

// IntegratedGradients scores each token by the integral of the derivative of w_i.E along the straight line from the missing
// token's embedding e' to the token's own e (arXiv:1703.01365), all tokens of the text together, special ones fixed:
//
//	score_t = sum_j (e_tj - e'_j) (1/steps) sum_s d(w.E)/de_tj at a = (s + 1/2) / steps
//
// The scores sum to Score - Baseline, up to what the midpoints miss.
func (e *Encoder) IntegratedGradients(ctx context.Context, texts []Tokens, w *mat.Dense, missing int32, steps int) ([]Attribution, error) {
	if err := e.checkTexts(texts, w); err != nil {
		return nil, err
	}
	if steps < 1 {
		return nil, argument("integrated gradients in %d steps; use 16 or more", steps)
	}
	table, err := e.model.Params.Values("W_E")
	if err != nil {
		return nil, fmt.Errorf("bottleneck: %w", err)
	}
	d := e.model.Spec.DModel
	scale := 1.0
	if e.model.Spec.EmbedScale != 0 {
		scale = e.model.Spec.EmbedScale
	}
	point := func(t Tokens, a float64) []float32 {
		x := make([]float32, 0, len(t.IDs)*d)
		for p, id := range t.IDs {
			own, none := table[int(id)*d:(int(id)+1)*d], table[int(missing)*d:(int(missing)+1)*d]
			if t.Special[p] {
				none = own
			}
			for j, v := range own {
				x = append(x, float32(scale*(float64(none[j])+a*(float64(v)-float64(none[j])))))
			}
		}
		return x
	}
	out := make([]Attribution, 0, len(texts))
	for part := range slices.Chunk(texts, igTexts) {
		var x [][]float32
		var directions [][]float64
		for i, t := range part {
			row := w.RawRowView(len(out) + i)
			x, directions = append(x, point(t, 0), point(t, 1)), append(directions, row, row)
			for s := range steps {
				x, directions = append(x, point(t, (float64(s)+0.5)/float64(steps))), append(directions, row)
			}
		}
		slopes, values, err := e.gradients(ctx, x, directions)
		if err != nil {
			return nil, err
		}
		for i, t := range part {
			first := i * (steps + 2)
			a := Attribution{Baseline: values[first], Score: values[first+1], Scores: make([]float64, len(t.IDs))}
			for _, slope := range slopes[first+2 : first+2+steps] {
				for at, g := range slope {
					a.Scores[at/d] += g * float64(x[first+1][at]-x[first][at]) / float64(steps)
				}
			}
			out = append(out, a)
		}
	}
	return out, nil
}

// igTexts is how many texts are differentiated together, which fills batches without holding all derivatives.
const igTexts = 16

// replaced is a text with every token of its own replaced by the missing one.
func replaced(t Tokens, missing int32) []int32 {
	out := append([]int32(nil), t.IDs...)
	for p := range out {
		if !t.Special[p] {
			out[p] = missing
		}
	}
	return out
}

func (e *Encoder) checkTexts(texts []Tokens, w *mat.Dense) error {
	n, _, err := checkMatrix("directions", w, e.Width())
	if err != nil {
		return err
	}
	if n != len(texts) {
		return fmt.Errorf("bottleneck: %d directions for %d texts: %w", n, len(texts), vectors.ErrShape)
	}
	return nil
}
