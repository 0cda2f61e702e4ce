package sae

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
	"loupe/probe/token"
)

// TextModel reads texts with a local model: an [Embedder] where the model is a text encoder, a [Scorer] where it is a
// language model. Texts are cut at Seq tokens.
type TextModel struct {
	Engine     *model.Engine
	Model      *model.Model
	Tokenizer  *token.Tokenizer
	Batch, Seq int
}

// Embed implements [Embedder] by the model's sentence embedding.
func (m TextModel) Embed(ctx context.Context, texts []string) ([]float32, int, error) {
	site := model.Site{Kind: model.Sentence}
	program, err := m.Engine.Compile(m.Model.Spec, model.Plan{Batch: m.Batch, Seq: m.Seq, Captures: []model.Capture{{Site: site}}})
	if err != nil {
		return nil, 0, fmt.Errorf("sae: embed texts with %s: %w; take a sentence encoder, such as minilm", m.Model.Name, err)
	}
	width := m.Model.Spec.Width(model.Sentence, m.Seq)
	var out []float32
	for lo := 0; lo < len(texts); lo += m.Batch {
		part := texts[lo:min(lo+m.Batch, len(texts))]
		batch, err := m.pad(part)
		if err != nil {
			return nil, 0, fmt.Errorf("sae: embed texts: %w", err)
		}
		rows, err := runFor(ctx, program, m.Model, batch, func(o *model.Outputs) *tensors.Tensor { return o.Site(site) })
		if err != nil {
			return nil, 0, fmt.Errorf("sae: embed texts: %w", err)
		}
		out = append(out, rows[:len(part)*width]...)
	}
	return out, width, nil
}

// pad encodes at most Batch texts with special tokens; missing rows repeat the last text.
func (m TextModel) pad(texts []string) (token.Batch, error) {
	encodings := make([]token.Encoding, m.Batch)
	for i := range encodings {
		var err error
		if encodings[i], err = m.Tokenizer.Encode(texts[min(i, len(texts)-1)], token.EncodeOptions{AddSpecial: true, MaxLen: m.Seq}); err != nil {
			return token.Batch{}, err
		}
	}
	return token.Pad(encodings, token.Padding{Length: m.Seq, ID: max(0, m.Tokenizer.Specials().PAD)})
}

// LogLikelihood implements [Scorer]. The text's tokens are those it has on its own; without a prompt and a BOS token its first
// token is given, not scored, and with a prompt it is scored too.
func (m TextModel) LogLikelihood(ctx context.Context, prompt, text string) (float64, error) {
	before, err := m.Tokenizer.Encode(prompt, token.EncodeOptions{})
	if err != nil {
		return 0, fmt.Errorf("sae: score a text: prompt: %w", err)
	}
	body, err := m.Tokenizer.Encode(text, token.EncodeOptions{})
	if err != nil {
		return 0, fmt.Errorf("sae: score a text: %w", err)
	}
	var ids []int32
	if bos := m.Tokenizer.Specials().BOS; bos >= 0 {
		ids = append(ids, bos)
	}
	ids = append(ids, before.IDs...)
	from := max(len(ids), 1)
	ids = append(ids, body.IDs...)
	ids = ids[:min(len(ids), m.Seq)]
	if len(ids) <= from {
		return 0, errors.New("sae: score a text: no token is left to score; give longer texts, or a larger Seq for the prompt")
	}
	program, err := m.Engine.Compile(m.Model.Spec, model.Plan{Batch: 1, Seq: m.Seq, Logits: model.LogitsAll})
	if err != nil {
		return 0, fmt.Errorf("sae: score a text with %s: %w", m.Model.Name, err)
	}
	batch, err := token.Pad([]token.Encoding{{IDs: ids, TypeIDs: make([]int32, len(ids))}}, token.Padding{Length: m.Seq})
	if err != nil {
		return 0, fmt.Errorf("sae: score a text: %w", err)
	}
	logits, err := runFor(ctx, program, m.Model, batch, (*model.Outputs).Logits)
	if err != nil {
		return 0, fmt.Errorf("sae: score a text: %w", err)
	}
	vocab, sum := len(logits)/m.Seq, 0.0
	for i := from; i < len(ids); i++ {
		sum -= CrossEntropy(logits[(i-1)*vocab:i*vocab], ids[i])
	}
	return sum / float64(len(ids)-from), nil
}

// runFor runs a batch and copies one output to the host.
func runFor(ctx context.Context, p *model.Program, m *model.Model, b token.Batch, pick func(*model.Outputs) *tensors.Tensor) (values []float32, err error) {
	out, err := p.Run(ctx, m.Params, model.Inputs{IDs: b.IDs, Mask: b.Mask})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	return tensors.CopyFlatData[float32](pick(out))
}
