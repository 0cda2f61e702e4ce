package tracing

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// captured are the values of a plain run on one prompt, on the host.
type captured struct {
	sites  map[model.Site][]float32
	logits []float32 // at the last position
}

// captureSites lists what a trace needs of a plain run.
func (t *Tracer) captureSites() []model.Site {
	s := t.model.Spec
	out := []model.Site{{Kind: model.Embed}}
	seen := map[model.Site]bool{}
	add := func(k model.Kind, l int) {
		site := model.Site{Kind: k, Layer: l}
		if !seen[site] {
			seen[site] = true
			out = append(out, site)
		}
	}
	for l := range s.Layers {
		add(model.ResidPre, l)
		add(model.Pattern, l)
		if !s.Parallel {
			add(model.ResidMid, l)
		}
		if t.weights.layers[l].post1.w != nil {
			add(model.AttnSubOut, l)
			add(model.MLPSubOut, l)
		}
		add(model.MLPIn, l)
		add(model.MLPOut, l)
		add(t.dict.In, l)
		add(t.dict.Out, l)
		if !t.dict.transcodes() {
			add(model.MLPPre, l)
			if s.Gated {
				add(model.MLPPreLinear, l)
			}
		}
	}
	add(model.ResidPost, s.Layers-1)
	add(model.LastHidden, 0)
	return out
}

func (t *Tracer) capture(ctx context.Context, tokens []int32) (_ *captured, err error) {
	sites := t.captureSites()
	plan := model.Plan{Batch: 1, Seq: len(tokens), Gather: 1, Logits: model.LogitsAt, Storage: t.model.Params.Storage()}
	for _, s := range sites {
		plan.Captures = append(plan.Captures, model.Capture{Site: s})
	}
	program, err := t.engine.Compile(t.model.Spec, plan)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	out, err := program.Run(ctx, t.model.Params, model.Inputs{IDs: tokens, Gather: []int32{int32(len(tokens) - 1)}})
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	c := &captured{sites: map[model.Site][]float32{}}
	for _, s := range sites {
		if c.sites[s], err = tensors.CopyFlatData[float32](out.Site(s)); err != nil {
			return nil, fmt.Errorf("tracing: %s: %w", s, err)
		}
	}
	if c.logits, err = tensors.CopyFlatData[float32](out.Logits()); err != nil {
		return nil, fmt.Errorf("tracing: logits: %w", err)
	}
	return c, nil
}

// freezeAt is the frozen model of a captured run.
func (t *Tracer) freezeAt(c *captured, n int) *frozen {
	s := t.model.Spec
	site := func(k model.Kind, l int) []float32 { return c.sites[model.Site{Kind: k, Layer: l}] }
	f := &frozen{weights: t.weights, dict: t.dict, t: n, layers: make([]frozenLayer, s.Layers)}
	f.final = t.weights.freeze(t.weights.final, site(model.ResidPost, s.Layers-1))
	f.base = widen(site(model.ResidPre, 0))
	for i, v := range site(model.Embed, 0) {
		f.base[i] -= float64(v)
	}
	for l := range f.layers {
		w := &t.weights.layers[l]
		middle := site(model.ResidMid, l)
		if s.Parallel {
			middle = site(model.ResidPre, l)
		}
		f.layers[l] = frozenLayer{
			layerWeights: w, pattern: widen(site(model.Pattern, l)), ln1: t.weights.freeze(w.ln1, site(model.ResidPre, l)), ln2: t.weights.freeze(w.ln2, middle),
			post1: t.weights.freeze(w.post1, site(model.AttnSubOut, l)), post2: t.weights.freeze(w.post2, site(model.MLPSubOut, l)),
		}
		if !t.dict.transcodes() {
			f.layers[l].mlp = t.linearise(c, f, l)
		} else if skip := t.dict.skip(l); skip != nil {
			path := newLinear(s.DModel, s.DModel, widen(skip))
			f.layers[l].skip = &path
		}
	}
	return f
}

// linearise is the MLP of layer l by its gradient at a captured run.
func (t *Tracer) linearise(c *captured, f *frozen, l int) *frozenMLP {
	s := t.model.Spec
	site := func(k model.Kind) []float32 { return c.sites[model.Site{Kind: k, Layer: l}] }
	pre := site(model.MLPPre)
	m := &frozenMLP{slope: make([]float64, len(pre))}
	for i, v := range pre {
		var value float64
		value, m.slope[i] = activation(s.Act, float64(v))
		if s.Gated {
			m.through = append(m.through, value)
			m.slope[i] *= float64(site(model.MLPPreLinear)[i])
		}
	}
	raw := site(model.MLPOut)
	if f.layers[l].post2.scale != nil {
		raw = site(model.MLPSubOut)
	}
	flat := f.layers[l]
	flat.mlp, flat.post2 = m, frozenNorm{}
	m.rest = widen(raw)
	axpy(-1, flat.linearMLP(widen(site(model.MLPIn)), s.DModel, false), m.rest)
	return m
}
