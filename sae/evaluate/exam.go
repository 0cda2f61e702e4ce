package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
	"loupe/sae"
)

// exam is questions that a model can be asked again and again with latents of a dictionary clamped.
type exam struct {
	subject *Subject
	program *model.Program
	decoder []float32
	length  int
	width   int
	parts   []examPart
	choices [][]int32 // of each question, first tokens
	answer  []int
}

// examPart is a batch of questions with what the dictionary reads on their tokens.
type examPart struct {
	batch  sae.TokenBatch
	gather []int32 // the place of each row's last token
	n      int     // questions; the other rows are padding
	x      []float32
	acts   *sae.Sparse
}

// examTokens bounds the tokens of a batch, and examLogits its logits.
const (
	examTokens = 512
	examLogits = 1 << 23
)

// exam encodes the questions' activations with a dictionary.
func (s *Subject) exam(ctx context.Context, d *Dictionary, site model.Site, list []Question) (*exam, error) {
	e := &exam{subject: s, decoder: d.Decoder, width: d.DIn}
	var seqs []sequence
	var texts []string
	for _, q := range list {
		enc, err := s.encode(q.Question)
		if err != nil {
			return nil, err
		}
		tokens, err := s.encodeOpen(q.Question)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, sequence{tokens: tokens, special: enc.Special[:len(tokens)]})
		var first []int32
		for _, c := range q.Choices {
			token, err := s.firstToken(q.Question, c)
			if err != nil {
				return nil, err
			}
			first = append(first, token)
		}
		e.choices, e.answer, texts = append(e.choices, first), append(e.answer, q.Answer), append(texts, q.Question)
	}
	e.length = longest(seqs)
	size := min(len(seqs), max(1, min(examTokens/e.length, examLogits/s.Model.Spec.Vocab)))
	var layers []int
	if site.Kind.InBlock() {
		layers = []int{site.Layer}
	}
	var err error
	e.program, err = s.Engine.Compile(s.Model.Spec, model.Plan{
		Batch: size, Seq: e.length, Gather: 1, Logits: model.LogitsAt, Edits: []model.Edit{{Site: site.Kind, Layers: layers, Replace: true}},
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate: questions: %w", err)
	}
	a, err := s.Activations(ctx, site, texts, nil)
	if err != nil {
		return nil, err
	}
	batches := s.batches(seqs, size, e.length)
	at := 0
	for i, part := range slices.Collect(slices.Chunk(seqs, size)) {
		p := examPart{batch: batches[i], gather: make([]int32, size), n: len(part)}
		for row, q := range part {
			p.gather[row] = int32(len(q.tokens) - 1)
			p.x = append(p.x, a.X[a.Start[at+row]*a.Width:(a.Start[at+row]+len(q.tokens))*a.Width]...)
		}
		at += len(part)
		lat, err := d.encode(ctx, p.x)
		if err != nil {
			return nil, err
		}
		if p.acts, err = sae.SparseLatents(lat, d.Latents); err != nil {
			return nil, err
		}
		e.parts = append(e.parts, p)
	}
	return e, nil
}

// accuracy is the share of questions of which the right choice begins with the likeliest token, with some latents set to a value
// wherever they are active on a token that is not special; the reconstruction error stays. Choices that begin alike count as the
// first of them.
func (e *exam) accuracy(ctx context.Context, latents []int32, value float64) (float64, error) {
	right, at := 0, 0
	for _, p := range e.parts {
		y, err := sae.ClampLatents(p.x, p.acts, e.decoder, latents, value)
		if err != nil {
			return 0, err
		}
		logits, err := e.run(ctx, p, y, len(latents) > 0)
		if err != nil {
			return 0, err
		}
		vocab := len(logits) / len(p.gather)
		for row := range p.n {
			own := logits[row*vocab : (row+1)*vocab]
			best := 0
			for c, token := range e.choices[at+row] {
				if own[token] > own[e.choices[at+row][best]] {
					best = c
				}
			}
			if best == e.answer[at+row] {
				right++
			}
		}
		at += p.n
	}
	return float64(right) / float64(len(e.answer)), nil
}

// run returns the logits after each question, with y in place of the site's values if edited is set.
func (e *exam) run(ctx context.Context, p examPart, y []float32, edited bool) (logits []float32, err error) {
	size, d := len(p.gather), e.width
	where, source := make([]float32, size*e.length), make([]float32, size*e.length*d)
	r := 0
	for row := range p.n {
		for j := range int(p.gather[row]) + 1 {
			at := row*e.length + j
			copy(source[at*d:(at+1)*d], y[r*d:(r+1)*d])
			if edited && p.batch.Keep[at] {
				where[at] = 1
			}
			r++
		}
	}
	out, err := e.program.Run(ctx, e.subject.Model.Params, model.Inputs{
		IDs: p.batch.IDs, Mask: p.batch.Mask, Gather: p.gather,
		Edits: []map[string]*tensors.Tensor{{
			"where": tensors.FromFlatDataAndDimensions(where, 1, size, e.length), "dims": tensors.FromScalarAndDimensions(float32(1), d),
			"source": tensors.FromFlatDataAndDimensions(source, size, e.length, d),
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate: questions: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	return tensors.CopyFlatData[float32](out.Logits())
}
