package encoder

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

// Variant is an encoder after an erasure; nil and the zero value are the encoder as it is.
type Variant struct {
	Name   string
	Params *model.Params // edited weights; nil: the encoder's own
	Hook   Hook          // what is done to a text's states; nil: nothing
	Layer  int           // blocks before the hook; Encoder.Layers(): it acts on the final states
	// PerText gives the weights for one text, where they depend on it; nil: they do not. What it makes is freed behind the text.
	PerText func(ctx context.Context, text token.Encoding) (*model.Params, error)
	Notes   map[string]any // what the fit tells, for tables and files
}

// Hook edits one text's states. Where it does not act it returns the very matrix that it was given.
type Hook interface {
	Apply(t erase.Text) (x *mat.Dense, acted bool, err error)
	// Pullback is the gradient of a loss with respect to the states [T, d] that Apply was given, for its gradient g with respect to
	// those that Apply returned. Whether the hook acts is held fixed.
	Pullback(t erase.Text, g *mat.Dense) (*mat.Dense, error)
}

// Linear maps each state x to E x.
type Linear struct{ Map *erase.Map }

// Apply implements Hook.
func (h Linear) Apply(t erase.Text) (*mat.Dense, bool, error) {
	x, err := h.Map.Apply(t.X)
	return x, true, err
}

// Pullback implements Hook: E' g.
func (h Linear) Pullback(_ erase.Text, g *mat.Dense) (*mat.Dense, error) {
	transposed := erase.Map{Left: h.Map.Right, Right: h.Map.Left}
	return transposed.Apply(g)
}

// Affine applies an eraser to each state.
type Affine struct{ Eraser *vectors.Eraser }

// Apply implements Hook.
func (h Affine) Apply(t erase.Text) (*mat.Dense, bool, error) {
	x, err := h.Eraser.Apply(t.X)
	return x, true, err
}

// Pullback implements Hook: P' g for the linear part P.
func (h Affine) Pullback(_ erase.Text, g *mat.Dense) (*mat.Dense, error) {
	var out mat.Dense
	out.Mul(g, h.Eraser.Matrix())
	return &out, nil
}

// params are the weights of a variant for texts that share them.
func (e *Encoder) params(v *Variant) *model.Params {
	if v == nil || v.Params == nil {
		return e.Model.Params
	}
	return v.Params
}

// hookAt is the layer of a variant's hook; hooked is false without one.
func (e *Encoder) hookAt(v *Variant) (layer int, hooked bool, err error) {
	if v == nil || v.Hook == nil {
		return 0, false, nil
	}
	if v.Layer < 1 || v.Layer > e.Layers() {
		return 0, false, fmt.Errorf("encoder: variant %s hooks layer %d; use 1 to %d (the final states)", v.Name, v.Layer, e.Layers())
	}
	return v.Layer, true, nil
}

// apply runs the hook on a state.
func (v *Variant) apply(s *State) error {
	x, acted, err := v.Hook.Apply(s.Text())
	if err != nil {
		return fmt.Errorf("encoder: variant %s: %w", v.Name, err)
	}
	rows, d := s.X.Dims()
	if r, c := x.Dims(); r != rows || c != d {
		return fmt.Errorf("encoder: variant %s made states [%d, %d] of [%d, %d]", v.Name, r, c, rows, d)
	}
	s.X, s.Acted = x, acted
	return nil
}
