package bottleneck

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

// Encoder turns texts into the sentence embeddings of a model that has them, and traces directions of those embeddings back
// to tokens. Sequences are padded to a multiple of 8 tokens, so that few programs are compiled.
type Encoder struct {
	engine    *model.Engine
	model     *model.Model
	tokenizer *token.Tokenizer
	limit     int // most tokens of a text
}

// Tokens are a text as an encoder reads it.
type Tokens struct {
	IDs     []int32
	Offsets [][2]int // code points [from, to) of the text
	Special []bool   // added by the encoder's template
}

// cells is the number of positions of a batch, padding included; lengthStep is what lengths are padded to.
const (
	cells      = 1024
	lengthStep = 8
)

// NewEncoder returns the encoder of a loaded model, which stays the caller's. limit cuts texts off, in tokens.
func NewEncoder(e *model.Engine, m *model.Model, tok *token.Tokenizer, limit int) (*Encoder, error) {
	if err := m.Spec.Has(model.Site{Kind: model.Sentence}); err != nil {
		return nil, fmt.Errorf("bottleneck: model %s: %w; use a sentence encoder such as minilm", m.Name, err)
	}
	if limit < 3 || m.Spec.MaxPos > 0 && limit > m.Spec.MaxPos {
		return nil, argument("limit is %d tokens; use 3 to %d", limit, m.Spec.MaxPos)
	}
	return &Encoder{e, m, tok, limit}, nil
}

// Width is the length of an embedding.
func (e *Encoder) Width() int { return e.model.Spec.Width(model.Sentence, 1) }

// Tokenize turns a text into tokens, those of the template included.
func (e *Encoder) Tokenize(text string) (Tokens, error) {
	enc, err := e.tokenizer.Encode(text, token.EncodeOptions{AddSpecial: true, MaxLen: e.limit})
	if err != nil {
		return Tokens{}, fmt.Errorf("bottleneck: %w", err)
	}
	return Tokens{enc.IDs, enc.Offsets, enc.Special}, nil
}

// Embed returns the embeddings [n, d] of texts.
func (e *Encoder) Embed(ctx context.Context, texts []string) (*mat.Dense, error) {
	ids := make([][]int32, len(texts))
	for i, text := range texts {
		t, err := e.Tokenize(text)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		ids[i] = t.IDs
	}
	return e.EmbedTokens(ctx, ids)
}

// EmbedTokens returns the embeddings [n, d] of token sequences.
func (e *Encoder) EmbedTokens(ctx context.Context, ids [][]int32) (*mat.Dense, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("bottleneck: no text: %w", vectors.ErrShape)
	}
	out := mat.NewDense(len(ids), e.Width(), nil)
	lengths := make([]int, len(ids))
	for i := range ids {
		lengths[i] = len(ids[i])
	}
	err := e.batches(lengths, func(rows []int, size, length int) error {
		flat, mask := make([]int32, size*length), make([]int32, size*length)
		for r, i := range rows {
			copy(flat[r*length:], ids[i])
			for p := range ids[i] {
				mask[r*length+p] = 1
			}
		}
		return e.run(ctx, model.Plan{Batch: size, Seq: length, Captures: []model.Capture{{Site: model.Site{Kind: model.Sentence}}}},
			model.Inputs{IDs: flat, Mask: padRows(mask, len(rows), size, length)}, func(o *model.Outputs) error {
				return tensors.ConstFlatData(o.Site(model.Site{Kind: model.Sentence}), func(x []float32) {
					for r, i := range rows {
						copyTo(out.RawRowView(i), x[r*e.Width():])
					}
				})
			})
	})
	return out, err
}

// gradients returns the derivatives [tokens, d_model] of w_i.E by the token embeddings x_i [tokens, d_model] of sequences, and the
// values w_i.E.
func (e *Encoder) gradients(ctx context.Context, x [][]float32, w [][]float64) (slopes [][]float64, values []float64, err error) {
	d, width := e.model.Spec.DModel, e.Width()
	lengths := make([]int, len(x))
	for i := range x {
		lengths[i] = len(x[i]) / d
	}
	slopes, values = make([][]float64, len(x)), make([]float64, len(x))
	sentence, embed := model.Site{Kind: model.Sentence}, model.Site{Kind: model.Embed}
	err = e.batches(lengths, func(rows []int, size, length int) error {
		input, mask, weights := make([]float32, size*length*d), make([]int32, size*length), make([]float32, size*width)
		for r, i := range rows {
			copy(input[r*length*d:], x[i])
			for p := range lengths[i] {
				mask[r*length+p] = 1
			}
			for j, v := range w[i] {
				weights[r*width+j] = float32(v)
			}
		}
		start, by := tensors.FromFlatDataAndDimensions(input, size, length, d), tensors.FromFlatDataAndDimensions(weights, size, width)
		plan := model.Plan{
			Batch: size, Seq: length, Embeds: true, Captures: []model.Capture{{Site: sentence}},
			Objective: model.SiteDot(e.model.Spec, sentence, size, length), GradSites: []model.Site{embed},
		}
		in := model.Inputs{Input: start, Mask: padRows(mask, len(rows), size, length), Objective: map[string]*tensors.Tensor{"weights": by}}
		err := e.run(ctx, plan, in, func(o *model.Outputs) error {
			err := tensors.ConstFlatData(o.Site(sentence), func(s []float32) {
				for r, i := range rows {
					for j, v := range w[i] {
						values[i] += v * float64(s[r*width+j])
					}
				}
			})
			return errors.Join(err, tensors.ConstFlatData(o.Grad(embed), func(g []float32) {
				for r, i := range rows {
					slopes[i] = make([]float64, lengths[i]*d)
					copyTo(slopes[i], g[r*length*d:])
				}
			}))
		})
		return errors.Join(err, start.FinalizeAll(), by.FinalizeAll())
	})
	return slopes, values, err
}

// batches groups sequences by padded length and hands each group on in batches: rows are its sequences, size the rows of the
// program, of which the last batch fills fewer.
func (e *Encoder) batches(lengths []int, do func(rows []int, size, length int) error) error {
	groups := map[int][]int{}
	for i, n := range lengths {
		if n < 1 || n > e.limit {
			return argument("text %d has %d tokens; use 1 to %d", i, n, e.limit)
		}
		padded := min((n+lengthStep-1)/lengthStep*lengthStep, max(e.limit, n))
		groups[padded] = append(groups[padded], i)
	}
	var order []int
	for length := range groups {
		order = append(order, length)
	}
	slices.Sort(order)
	for _, length := range order {
		size := max(1, cells/length)
		for rows := range slices.Chunk(groups[length], size) {
			if err := do(rows, size, length); err != nil {
				return err
			}
		}
	}
	return nil
}

// padRows gives rows without a text one token, as a mean over none is not defined.
func padRows(mask []int32, from, size, length int) []int32 {
	for r := from; r < size; r++ {
		mask[r*length] = 1
	}
	return mask
}

func (e *Encoder) run(ctx context.Context, plan model.Plan, in model.Inputs, read func(*model.Outputs) error) error {
	program, err := e.engine.Compile(e.model.Spec, plan)
	if err != nil {
		return fmt.Errorf("bottleneck: %w", err)
	}
	out, err := program.Run(ctx, e.model.Params, in)
	if err != nil {
		return fmt.Errorf("bottleneck: %w", err)
	}
	return errors.Join(read(out), out.Free())
}

// copyTo fills dst with the first of src.
func copyTo(dst []float64, src []float32) {
	for i := range dst {
		dst[i] = float64(src[i])
	}
}
