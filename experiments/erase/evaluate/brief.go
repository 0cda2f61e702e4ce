package evaluate

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
)

// Brief measures variants on the few texts that a paper's claims are about: one value a prompt, for intervals over prompts. Suite
// measures all there is to measure.
type Brief struct {
	e     *encoder.Encoder
	task  *method.Task
	zero  *erase.ZeroShot
	texts []string
	class []int // -1: not classified
	part  []int // of briefParts
	x     *mat.Dense
}

// The texts of a Brief.
const (
	partErased = iota
	partSynonym
	partKept
	partNeighbour
	partOrdinary
	briefParts
)

// Seen is what a variant does to the texts of a Brief.
type Seen struct {
	Erased    []float64 // 1 where a held-out prompt of an erased concept is recognised as it
	Synonym   []float64 // the same of its synonyms' held-out prompts
	Kept      []float64 // the same of the other concepts of the domain
	Neighbour []float64 // |x' - x| / |x| of held-out prompts of the erased concepts' neighbours that are kept
	Ordinary  []float64 // the same of ordinary sentences
	Rows      *mat.Dense
}

// NewBrief embeds a task's held-out texts by the original encoder, with up to so many ordinary sentences.
func NewBrief(ctx context.Context, e *encoder.Encoder, t *method.Task, ordinary int) (*Brief, error) {
	b := &Brief{e: e, task: t}
	add := func(part, class int, texts ...string) {
		for _, s := range texts {
			b.texts, b.class, b.part = append(b.texts, s), append(b.class, class), append(b.part, part)
		}
	}
	near := make(map[string]bool)
	var classes []*mat.Dense
	for i, c := range t.Concepts() {
		x, err := e.Embed(ctx, nil, c.Fit)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", c.Name, err)
		}
		classes = append(classes, x)
		if i < len(t.Erase) {
			add(partErased, i, c.Held...)
			for _, s := range c.SynonymHeld {
				add(partSynonym, i, s...)
			}
			for _, n := range c.Neighbours {
				near[n] = true
			}
			continue
		}
		add(partKept, i, c.Held...)
	}
	for _, c := range t.Keep {
		if near[c.Name] {
			add(partNeighbour, -1, c.Held...)
		}
	}
	add(partOrdinary, -1, t.HeldOut[:min(ordinary, len(t.HeldOut))]...)
	var err error
	if b.zero, err = erase.NewZeroShot(classes); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	b.x, err = e.Embed(ctx, nil, b.texts)
	return b, err
}

// Of measures a variant; nil is the encoder itself.
func (b *Brief) Of(ctx context.Context, v *encoder.Variant) (*Seen, error) {
	x, err := b.e.Embed(ctx, v, b.texts)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	predicted, err := b.zero.Predict(x)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	var by [briefParts][]float64
	for i, part := range b.part {
		value := 0.0
		switch {
		case b.class[i] < 0:
			value = floats.Distance(x.RawRowView(i), b.x.RawRowView(i), 2) / floats.Norm(b.x.RawRowView(i), 2)
		case predicted[i] == b.class[i]:
			value = 1
		}
		by[part] = append(by[part], value)
	}
	return &Seen{Erased: by[partErased], Synonym: by[partSynonym], Kept: by[partKept], Neighbour: by[partNeighbour], Ordinary: by[partOrdinary], Rows: x}, nil
}

// Before are the original embeddings of the texts [n, d], as Seen.Rows.
func (b *Brief) Before() *mat.Dense { return b.x }

// Join puts what several variants did to their texts one after the other; Rows is left out.
func Join(list ...*Seen) *Seen {
	out := &Seen{}
	for _, s := range list {
		out.Erased, out.Synonym, out.Kept = slices.Concat(out.Erased, s.Erased), slices.Concat(out.Synonym, s.Synonym), slices.Concat(out.Kept, s.Kept)
		out.Neighbour, out.Ordinary = slices.Concat(out.Neighbour, s.Neighbour), slices.Concat(out.Ordinary, s.Ordinary)
	}
	return out
}
