package vectors

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"

	"loupe/probe/model"
)

// Cloze is a prompt with the tokens that should follow it.
type Cloze struct {
	Prompt, Answer []int32
}

// LogLikelihoods returns log p(answer | prompt) in nats of each cloze under a language model: the sum over the answer's tokens,
// each given those before it. params are the weights to use, nil for the model's own; edit, nil for none, makes an edit of the
// given shape. Clozes run in batches of the given size, at one sequence length, so that one program serves them all.
func LogLikelihoods(ctx context.Context, e *model.Engine, m *model.Model, params *model.Params, clozes []Cloze, batch int, edit func(batch, seq int) (*Edit, error)) (out []float64, err error) {
	longest, answer, err := checkClozes(m.Spec, clozes, batch)
	if err != nil {
		return nil, err
	}
	if params == nil {
		params = m.Params
	}
	seq := paddedLength(m.Spec, longest)
	plan := model.Plan{Batch: batch, Seq: seq, Gather: answer, Logits: model.LogitsAt}
	var edits []map[string]*tensors.Tensor
	if edit != nil {
		made, err := edit(batch, seq)
		if err != nil {
			return nil, err
		}
		plan.Edits, edits = []model.Edit{made.Class}, []map[string]*tensors.Tensor{made.Values}
	}
	program, err := e.Compile(m.Spec, plan)
	if err != nil {
		return nil, fmt.Errorf("vectors: likelihood: %w", err)
	}
	for lo := 0; lo < len(clozes); lo += batch {
		part := clozes[lo:min(lo+batch, len(clozes))]
		in := model.Inputs{IDs: make([]int32, batch*seq), Mask: make([]int32, batch*seq), Gather: make([]int32, batch*answer), Edits: edits}
		for r := range batch {
			c := part[min(r, len(part)-1)] // rows beyond the last repeat it
			at := copy(in.IDs[r*seq:], c.Prompt)
			at += copy(in.IDs[r*seq+at:], c.Answer)
			for i := range at {
				in.Mask[r*seq+i] = 1
			}
			for i := range c.Answer {
				in.Gather[r*answer+i] = int32(len(c.Prompt) - 1 + i)
			}
		}
		values, err := run(ctx, program, params, in)
		if err != nil {
			return nil, err
		}
		for r, c := range part {
			sum := 0.0
			for i, id := range c.Answer {
				row := float64s(values[(r*answer+i)*m.Spec.Vocab:][:m.Spec.Vocab])
				sum += row[id] - floats.LogSumExp(row)
			}
			out = append(out, sum)
		}
	}
	return out, nil
}

// run returns a program's logits.
func run(ctx context.Context, p *model.Program, params *model.Params, in model.Inputs) (logits []float32, err error) {
	out, err := p.Run(ctx, params, in)
	if err != nil {
		return nil, fmt.Errorf("vectors: likelihood: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	if logits, err = tensors.CopyFlatData[float32](out.Logits()); err != nil {
		return nil, fmt.Errorf("vectors: likelihood: %w", err)
	}
	return logits, nil
}

// checkClozes returns the longest sequence and the longest answer.
func checkClozes(s *model.Spec, clozes []Cloze, batch int) (longest, answer int, err error) {
	if len(clozes) == 0 || batch < 1 {
		return 0, 0, fmt.Errorf("vectors: likelihood of %d clozes in batches of %d: %w", len(clozes), batch, ErrArgument)
	}
	for i, c := range clozes {
		if len(c.Prompt) == 0 || len(c.Answer) == 0 {
			return 0, 0, fmt.Errorf("vectors: cloze %d has a prompt of %d tokens and an answer of %d: %w; both need one", i, len(c.Prompt), len(c.Answer), ErrArgument)
		}
		for _, id := range append(append([]int32{}, c.Prompt...), c.Answer...) {
			if id < 0 || int(id) >= s.Vocab {
				return 0, 0, fmt.Errorf("vectors: cloze %d: token %d is not among %d: %w; is it of another tokenizer?", i, id, s.Vocab, ErrArgument)
			}
		}
		longest, answer = max(longest, len(c.Prompt)+len(c.Answer)), max(answer, len(c.Answer))
	}
	return longest, answer, nil
}
