package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// Subject is a model as it is, or with an edit.
type Subject struct {
	Engine    *model.Engine
	Model     *model.Model
	Tokenizer *token.Tokenizer
	Batch     int // texts that run together
	MaxLength int // tokens of a text, special ones included; the rest is cut off
	// Edit makes the run-time edit of the given shape; nil for none.
	Edit func(batch, seq int) (*vectors.Edit, error)
}

// Losses are the next-token losses of some texts.
type Losses struct {
	Nats   []float64 // of a text, summed over its tokens but the first
	Tokens []int     // so many
}

// Losses returns what a language model loses on texts of two tokens and more.
func (s Subject) Losses(ctx context.Context, texts []string) (Losses, error) {
	clozes := make([]vectors.Cloze, len(texts))
	out := Losses{Tokens: make([]int, len(texts))}
	for i, t := range texts {
		ids, err := s.encode(t)
		if err != nil {
			return out, err
		}
		if len(ids) < 2 {
			return out, fmt.Errorf("evaluate: text %d, %q, has %d tokens: %w; a loss needs two", i, t, len(ids), vectors.ErrArgument)
		}
		clozes[i] = vectors.Cloze{Prompt: ids[:1], Answer: ids[1:]}
		out.Tokens[i] = len(ids) - 1
	}
	scores, err := vectors.LogLikelihoods(ctx, s.Engine, s.Model, nil, clozes, s.Batch, s.Edit)
	if err != nil {
		return out, err
	}
	for _, v := range scores {
		out.Nats = append(out.Nats, -v)
	}
	return out, nil
}

// Chosen tells for each question whether the right choice has the largest log-likelihood after the prompt: 1 or 0. Likelihoods
// are summed over a choice's tokens; of equal ones the first counts.
func (s Subject) Chosen(ctx context.Context, questions []text.Question) ([]float64, error) {
	var clozes []vectors.Cloze
	for i, q := range questions {
		prompt, err := s.encode(q.Prompt)
		if err != nil {
			return nil, err
		}
		for _, c := range q.Choices {
			both, err := s.encode(q.Prompt + " " + c)
			if err != nil {
				return nil, err
			}
			if len(both) <= len(prompt) || !slices.Equal(both[:len(prompt)], prompt) {
				return nil, fmt.Errorf("evaluate: question %d: the tokens of %q do not begin with those of its prompt: %w; end the prompt before a word", i, q.Prompt+" "+c, vectors.ErrArgument)
			}
			clozes = append(clozes, vectors.Cloze{Prompt: prompt, Answer: both[len(prompt):]})
		}
	}
	scores, err := vectors.LogLikelihoods(ctx, s.Engine, s.Model, nil, clozes, s.Batch, s.Edit)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(questions))
	for i, q := range questions {
		own := scores[:len(q.Choices)]
		scores = scores[len(q.Choices):]
		if slices.Index(own, slices.Max(own)) == q.Answer {
			out[i] = 1
		}
	}
	return out, nil
}

// encode returns a text's tokens with the tokenizer's special ones, but for a final one, which would end the text.
func (s Subject) encode(t string) ([]int32, error) {
	e, err := s.Tokenizer.Encode(t, token.EncodeOptions{AddSpecial: true, MaxLen: s.MaxLength})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	ids := e.IDs
	for len(ids) > 0 && e.Special[len(ids)-1] {
		ids = ids[:len(ids)-1]
	}
	return ids, nil
}

// Embed returns the sentence embeddings of texts [n, width], of norm 1, row by row.
func (s Subject) Embed(ctx context.Context, texts []string) (rows []float32, width int, err error) {
	site := model.Site{Kind: model.Sentence}
	if err := s.Model.Spec.Has(site); err != nil {
		return nil, 0, fmt.Errorf("evaluate: %s: %w; drift is measured on sentence encoders such as minilm", s.Model.Name, err)
	}
	encoded := make([]token.Encoding, len(texts))
	seq := 1
	for i, t := range texts {
		if encoded[i], err = s.Tokenizer.Encode(t, token.EncodeOptions{AddSpecial: true, MaxLen: s.MaxLength}); err != nil {
			return nil, 0, fmt.Errorf("evaluate: %w", err)
		}
		seq = max(seq, encoded[i].Len())
	}
	if up := (seq + 15) / 16 * 16; s.Model.Spec.MaxPos == 0 || up <= s.Model.Spec.MaxPos {
		seq = up
	}
	plan := model.Plan{Batch: s.Batch, Seq: seq, Captures: []model.Capture{{Site: site}}}
	var edits []map[string]*tensors.Tensor
	if s.Edit != nil {
		made, err := s.Edit(s.Batch, seq)
		if err != nil {
			return nil, 0, err
		}
		plan.Edits, edits = []model.Edit{made.Class}, []map[string]*tensors.Tensor{made.Values}
	}
	program, err := s.Engine.Compile(s.Model.Spec, plan)
	if err != nil {
		return nil, 0, fmt.Errorf("evaluate: %w", err)
	}
	width = s.Model.Spec.Width(model.Sentence, seq)
	for lo := 0; lo < len(texts); lo += s.Batch {
		n := min(s.Batch, len(texts)-lo)
		part := make([]token.Encoding, s.Batch)
		for r := range part {
			part[r] = encoded[lo+min(r, n-1)] // rows beyond the last repeat it
		}
		b, err := token.Pad(part, token.Padding{Length: seq, ID: max(0, s.Tokenizer.Specials().PAD)})
		if err != nil {
			return nil, 0, fmt.Errorf("evaluate: %w", err)
		}
		values, err := s.run(ctx, program, model.Inputs{IDs: b.IDs, Mask: b.Mask, Types: b.TypeIDs, Edits: edits}, site)
		if err != nil {
			return nil, 0, err
		}
		rows = append(rows, values[:n*width]...)
	}
	return rows, width, unitRows(rows, width)
}

func (s Subject) run(ctx context.Context, p *model.Program, in model.Inputs, site model.Site) (values []float32, err error) {
	out, err := p.Run(ctx, s.Model.Params, in)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	if values, err = tensors.CopyFlatData[float32](out.Site(site)); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return values, nil
}
