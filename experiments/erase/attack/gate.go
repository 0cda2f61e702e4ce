package attack

import (
	"context"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// gated tells whether the variant's hook leaves alone some of a few texts that hold no concept.
func (s *search) gated(ctx context.Context) (bool, error) {
	if s.v == nil || s.v.Hook == nil {
		return false, nil
	}
	texts := []string{"a photo", "it is said that", "we met them in the morning"}
	s.queries += len(texts)
	states, err := s.e.States(ctx, s.v, texts)
	if err != nil {
		return false, err
	}
	for _, state := range states {
		if !state.Acted {
			return true, nil
		}
	}
	return false, nil
}

// past is a variant as seen by an attacker who wants its hook not to act.
func past(v *encoder.Variant) *encoder.Variant {
	out := *v
	out.Name, out.Hook = v.Name+", past the gate", pastGate{v.Hook, 1}
	return &out
}

// scored is a hook that acts where a score reaches a threshold, as the guards of package erase are. gradient is that of the score with
// respect to the states [T, d].
type scored interface {
	Score(t erase.Text) (score, threshold float64, gradient *mat.Dense, err error)
}

// pastGate leaves states as they are, and adds to a loss, where the hook H that it stands for would act, weight score / threshold of a
// hook with a score, of any other weight |H(x) - x|² / |x|² with |x| held fixed in the gradient.
type pastGate struct {
	hook   encoder.Hook
	weight float64
}

// Apply implements encoder.Hook: a copy of the states, as an edit that changes nothing, so that Pullback is called.
func (h pastGate) Apply(t erase.Text) (*mat.Dense, bool, error) {
	return mat.DenseCopyOf(t.X), true, nil
}

// tiny keeps a threshold of 0 from dividing.
const tiny = 1e-12

// Pullback implements encoder.Hook.
func (h pastGate) Pullback(t erase.Text, g *mat.Dense) (*mat.Dense, error) {
	var out mat.Dense
	if s, ok := h.hook.(scored); ok {
		score, threshold, gradient, err := s.Score(t)
		if err != nil || score < threshold {
			return g, err
		}
		out.Scale(h.weight/max(threshold, tiny), gradient)
		out.Add(&out, g)
		return &out, nil
	}
	x, acted, err := h.hook.Apply(t)
	if err != nil || !acted {
		return g, err
	}
	var change mat.Dense
	change.Sub(x, t.X)
	back, err := h.hook.Pullback(t, &change)
	if err != nil {
		return nil, err
	}
	out.Sub(back, &change)
	norm := floats.Norm(t.X.RawMatrix().Data, 2)
	out.Scale(2*h.weight/(norm*norm), &out)
	out.Add(&out, g)
	return &out, nil
}
