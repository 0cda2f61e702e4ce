package vectors

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"

	"loupe/probe/model"
)

// LexiconScorer scores a text by the share of its tokens that are of a lexicon.
func LexiconScorer(lexicon []int32) (Scorer, error) {
	if len(lexicon) == 0 {
		return nil, fmt.Errorf("vectors: lexicon without a token: %w", ErrArgument)
	}
	return func(_ context.Context, _ []Placed, _, outputs [][]int32) ([]float64, error) {
		out := make([]float64, len(outputs))
		for i, ids := range outputs {
			for _, id := range ids {
				if slices.Contains(lexicon, id) {
					out[i] += 1 / float64(len(ids))
				}
			}
		}
		return out, nil
	}, nil
}

// ProbeScorer scores a text by a probe of the unsteered model's activations: w.x + b with x the mean of the site over the text's own
// tokens, read after the prompt.
func ProbeScorer(e *model.Engine, m *model.Model, site model.Site, w []float64, b float64, batch int) Scorer {
	return func(ctx context.Context, _ []Placed, prompts, outputs [][]int32) ([]float64, error) {
		texts := make([][]int32, len(prompts))
		for i := range texts {
			texts[i] = slices.Concat(prompts[i], outputs[i])
		}
		read, err := ReadTokens(ctx, e, m, texts, []model.Site{site}, batch)
		if err != nil {
			return nil, err
		}
		if _, d := read.Sites[0].Dims(); len(w) != d {
			return nil, checkWidth("probe", len(w), d)
		}
		out := make([]float64, len(prompts))
		row := 0
		for i, text := range texts {
			for t := range text {
				if t >= len(prompts[i]) {
					out[i] += floats.Dot(w, read.Sites[0].RawRowView(row)) / float64(len(outputs[i]))
				}
				row++
			}
			out[i] += b
		}
		return out, nil
	}
}

// LogitScorer scores a prompt by what the steered model would say next: the mean logit of the concept's tokens less that of
// others. It reads no generated text, so it is smooth in the dose.
func LogitScorer(e *model.Engine, m *model.Model, concept, others []int32, batch int) (Scorer, error) {
	if len(concept) == 0 || len(others) == 0 {
		return nil, fmt.Errorf("vectors: logits of %d tokens less those of %d: %w; both need one", len(concept), len(others), ErrArgument)
	}
	for _, id := range slices.Concat(concept, others) {
		if id < 0 || int(id) >= m.Spec.Vocab {
			return nil, fmt.Errorf("vectors: token %d is not among %d: %w; is it of another tokenizer?", id, m.Spec.Vocab, ErrArgument)
		}
	}
	return func(ctx context.Context, list []Placed, prompts, _ [][]int32) ([]float64, error) {
		logits, err := NextLogits(ctx, e, m, prompts, batch, list)
		if err != nil {
			return nil, err
		}
		out := make([]float64, len(prompts))
		for i, row := range logits {
			for _, id := range concept {
				out[i] += float64(row[id]) / float64(len(concept))
			}
			for _, id := range others {
				out[i] -= float64(row[id]) / float64(len(others))
			}
		}
		return out, nil
	}, nil
}

// NextLogits are the next-token logits [v] after each text; interventions, nil for none, act at every position.
func NextLogits(ctx context.Context, e *model.Engine, m *model.Model, texts [][]int32, batch int, list []Placed) ([][]float32, error) {
	longest := 0
	for i, ids := range texts {
		if len(ids) == 0 {
			return nil, fmt.Errorf("vectors: text %d has no token: %w", i, ErrArgument)
		}
		longest = max(longest, len(ids))
	}
	if longest == 0 || batch < 1 {
		return nil, fmt.Errorf("vectors: logits after %d texts in batches of %d: %w", len(texts), batch, ErrArgument)
	}
	plan := model.Plan{Batch: batch, Seq: paddedLength(m.Spec, longest), Gather: 1, Logits: model.LogitsAt}
	classes, values, err := Edits(m.Spec, list, batch, plan.Seq, nil)
	if err != nil {
		return nil, err
	}
	plan.Edits = classes
	program, err := e.Compile(m.Spec, plan)
	if err != nil {
		return nil, fmt.Errorf("vectors: logits: %w", err)
	}
	var out [][]float32
	for lo := 0; lo < len(texts); lo += batch {
		part := texts[lo:min(lo+batch, len(texts))]
		in := rightPadded(part, batch, plan.Seq)
		in.Edits = values
		flat, err := run(ctx, program, m.Params, in)
		if err != nil {
			return nil, err
		}
		for r := range part {
			out = append(out, flat[r*m.Spec.Vocab:(r+1)*m.Spec.Vocab])
		}
	}
	return out, nil
}
