package model

import (
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// TestEdgeAxes: a mask without a batch axis acts on every row, one with a token axis at its positions alone, and the
// gradient with a token axis sums over tokens to the one without. Embedding gradients exist beside it.
func TestEdgeAxes(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "gpt2-hubkeys")
	s := m.Spec
	const b, n = 2, 5
	u, v := s.EdgeSenders(), s.EdgeReceivers()
	ids := someIDs(31, b*n, s.Vocab)
	objective := map[string]*tensors.Tensor{"weights": normal(33, b, n, s.DModel)}
	ref := normal(34, b, n, u, s.DModel)
	mask := make([]float32, u*v)
	for i := range mask {
		mask[i] = float32(i%5) / 5
	}
	repeat := func(times int) []float32 {
		var out []float32
		for range times {
			out = append(out, mask...)
		}
		return out
	}
	pass := func(e Edges, mask []float32) *Outputs {
		e.GradMask, e.Receivers = true, true
		plan := Plan{Batch: b, Seq: n, Objective: rowDot(s, b, n), Edges: &e, GradSites: []Site{{Embed, 0}}}
		in := Inputs{IDs: ids, Objective: objective, Edges: map[string]*tensors.Tensor{
			"corrupted": ref, "mask": tensors.FromFlatDataAndDimensions(mask, e.MaskDims(s, b, n)...)}}
		return run(t, engine, m, plan, in)
	}
	all := pass(Edges{}, mask)
	tokens := pass(Edges{Batch: true, Tokens: true}, repeat(b*n))
	nearly(t, "receivers", values(t, tokens.EdgeReceivers()), values(t, all.EdgeReceivers()), 1e-5)
	nearly(t, "embedding gradient", values(t, tokens.Grad(Site{Embed, 0})), values(t, all.Grad(Site{Embed, 0})), 1e-3)
	summed := make([]float32, b*u*v)
	for i, g := range values(t, tokens.GradEdgeMask()) {
		summed[i/(n*u*v)*u*v+i%(u*v)] += g
	}
	nearly(t, "gradient over tokens", summed, values(t, all.GradEdgeMask()), 1e-3)

	first := make([]float32, b*n*u*v) // all edges at the last position alone: earlier receivers are plain
	for i := range first {
		if i/(u*v)%n == n-1 {
			first[i] = 1
		}
	}
	late := values(t, pass(Edges{Batch: true, Tokens: true}, first).EdgeReceivers())
	plain := values(t, pass(Edges{Batch: true, Tokens: true}, make([]float32, len(first))).EdgeReceivers())
	per := v * s.DModel
	nearly(t, "earlier positions", late[:(n-1)*per], plain[:(n-1)*per], 1e-5)
	differs(t, "last position", late[(n-1)*per:n*per], plain[(n-1)*per:n*per], 1e-2)
}

// TestEdgeErrors: what a plan with edges refuses, and why.
func TestEdgeErrors(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "gpt2-hubkeys")
	ids := someIDs(31, 4, m.Spec.Vocab)
	good := Plan{Batch: 1, Seq: 4, Edges: &Edges{Senders: true}}
	for want, change := range map[string]func(*Plan){
		"needs all layers":                      func(p *Plan) { p.To = 1 },
		"gradients at edges need an objective":  func(p *Plan) { p.Edges = &Edges{Senders: true, GradMask: true} },
		"nothing is asked for":                  func(p *Plan) { p.Edges = &Edges{} },
		"site blocks.{i}.attn.hook_k does not":  func(p *Plan) { p.Captures = []Capture{{Site: Site{K, 0}}} },
		"site blocks.{i}.ln1.hook_out does not": func(p *Plan) { p.Edits = []Edit{{Site: LN1Out, Add: true}} },
	} {
		plan := good
		change(&plan)
		if _, err := engine.Compile(m.Spec, plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	p, err := engine.Compile(m.Spec, good)
	if err != nil {
		t.Fatal(err)
	}
	u, v := m.Spec.EdgeSenders(), m.Spec.EdgeReceivers()
	for want, edges := range map[string]map[string]*tensors.Tensor{
		`mask without "corrupted"`: {"mask": constant(1, u, v)},
		"this plan needs":          {"mask": constant(1, u, v-1), "corrupted": normal(1, 1, 4, u, m.Spec.DModel)},
		"not part of this plan":    {"direction": constant(1, 1)},
	} {
		if _, err := p.Run(t.Context(), m.Params, Inputs{IDs: ids, Edges: edges}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
