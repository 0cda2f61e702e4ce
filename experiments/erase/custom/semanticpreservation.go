package custom

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/internal/adam"
	"loupe/vectors"
)

// SemanticPreservation is ClassDiffusion's loss 1 - cos(a, b) of the embedding a [d] of a phrase with the new word, "a photo of a
// <new1> dog", and the embedding b [d] of the phrase without it, with its gradient with respect to a (Huang et al.,
// arXiv:2405.17532).
func SemanticPreservation(a, b []float64) (loss float64, gradient []float64, err error) {
	return cosineDistance(a, b)
}

// cosineDistance is 1 - cos(a, b) with its gradient with respect to a.
func cosineDistance(a, b []float64) (distance float64, gradient []float64, err error) {
	c, err := vectors.Cosine(a, b)
	if err != nil {
		return 0, nil, fmt.Errorf("custom: cosine of two phrases: %w", err)
	}
	na, nb := floats.Norm(a, 2), floats.Norm(b, 2)
	gradient = make([]float64, len(a))
	for j := range gradient {
		gradient[j] = c*a[j]/(na*na) - b[j]/(na*nb)
	}
	return 1 - c, gradient, nil
}

// Subject is a new word to be learned.
type Subject struct {
	Prompts  []Prompt   // phrases with the word, one a step in turn
	Class    *mat.Dense // embeddings [prompts, d] of the same phrases without it
	Target   []float64  // [d], what the phrases are to mean: the mean embedding of a few captions
	Start    []float64  // [d], the word's first embedding
	Preserve float64    // weight of the semantic preservation loss; 0: without
}

// LearnConfig says how words are learned.
type LearnConfig struct {
	Steps int     `json:"steps" doc:"steps of Adam"`
	LR    float64 `json:"learning_rate" doc:"of Adam, on the new word's embedding"`
}

// DefaultLearn suits MiniLM's word embeddings, whose entries are about 0.05 large. ClassDiffusion trains for 500 steps at 1e-5,
// key and value matrices among what it trains.
func DefaultLearn() LearnConfig { return LearnConfig{Steps: 50, LR: 0.01} }

// Validate names the setting that is out of range.
func (c LearnConfig) Validate() error {
	if c.Steps < 1 || !(c.LR > 0) || math.IsInf(c.LR, 0) {
		return fmt.Errorf("custom: steps %d, learning_rate %v: %w; use a step or more and a positive rate", c.Steps, c.LR, vectors.ErrArgument)
	}
	return nil
}

// Learned is a word with its losses at each step: how far the phrase is from the target, and from its class.
type Learned struct {
	Word             []float64 // [d]
	Fidelity, Spread []float64 // 1 - cos with the target, and with the phrase without the word [steps]
}

// LearnWords learns each subject's word embedding, and nothing else, by Adam on
//
//	1 - cos(E(phrase with the word), target) + preserve SPL
//
// All subjects take their steps together, so that they share the encoder's batches; none knows of the others.
func LearnWords(ctx context.Context, e *encoder.Encoder, subjects []Subject, cfg LearnConfig) ([]*Learned, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	out, solvers := make([]*Learned, len(subjects)), make([]*adam.Solver, len(subjects))
	for i, s := range subjects {
		if err := s.check(e.Width()); err != nil {
			return nil, fmt.Errorf("subject %d: %w", i, err)
		}
		out[i] = &Learned{Word: append([]float64{}, s.Start...)}
		solvers[i] = adam.NewSolver(cfg.LR, e.Width())
	}
	for step := range cfg.Steps {
		soft := make([]*encoder.Soft, len(subjects))
		for i, s := range subjects {
			soft[i] = s.Prompts[step%len(s.Prompts)].Soft(out[i].Word)
		}
		_, grads, err := e.Gradient(ctx, nil, soft, func(i int, state *encoder.State) (float64, *mat.Dense, error) {
			s := subjects[i]
			x, err := e.Pooled(state)
			if err != nil {
				return 0, nil, err
			}
			far, g, err := cosineDistance(x, s.Target)
			if err != nil {
				return 0, nil, err
			}
			drift, h, err := SemanticPreservation(x, s.Class.RawRowView(step%len(s.Prompts)))
			if err != nil {
				return 0, nil, err
			}
			out[i].Fidelity, out[i].Spread = append(out[i].Fidelity, far), append(out[i].Spread, drift)
			floats.AddScaled(g, s.Preserve, h)
			back, err := e.Spread(state, g)
			return far + s.Preserve*drift, back, err
		})
		if err != nil {
			return nil, fmt.Errorf("custom: step %d: %w", step+1, err)
		}
		for i, s := range subjects {
			solvers[i].Step(out[i].Word, grads[i].RawRowView(s.Prompts[step%len(s.Prompts)].At))
		}
	}
	return out, nil
}

func (s Subject) check(d int) error {
	if len(s.Prompts) == 0 || s.Class == nil || len(s.Target) != d || len(s.Start) != d || s.Preserve < 0 || math.IsNaN(s.Preserve) {
		return fmt.Errorf("custom: %d prompts, target of %d and start of %d values, preserve %v: %w; give prompts with their class, %d values each, and a weight from 0",
			len(s.Prompts), len(s.Target), len(s.Start), s.Preserve, vectors.ErrShape, d)
	}
	n, _, err := checkMatrix("class", s.Class, d)
	if err == nil && n != len(s.Prompts) {
		return fmt.Errorf("custom: %d prompts and %d phrases without the word: %w", len(s.Prompts), n, vectors.ErrShape)
	}
	return err
}
