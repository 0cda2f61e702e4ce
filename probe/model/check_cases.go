package model

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// gradients compares grad.<case>.*: the gradients of the sum over rows of the logit of token 7 at the last real token
// (encoders: component 7 of text_embeds, else of the pooler's output, else of the last hidden state there).
func (c *checker) gradients(ctx context.Context, name string) error {
	names := c.expected("grad." + name + ".")
	if len(names) == 0 {
		return nil
	}
	in, b, t, err := c.inputs(name)
	if err != nil {
		return err
	}
	s := c.model.Spec
	plan := Plan{Batch: b, Seq: t, Storage: c.model.Params.dtype}
	if err := c.objective(&plan, &in, b, t); err != nil {
		return err
	}
	for _, n := range names {
		if n == "objective" {
			continue
		}
		site, err := ParseSite(n)
		if err != nil {
			continue
		}
		if err := s.Has(site); err != nil {
			return err
		}
		plan.GradSites = append(plan.GradSites, site)
	}
	out, err := c.run(ctx, plan, in)
	if err != nil {
		return err
	}
	for _, n := range names {
		full := "grad." + name + "." + n
		if n == "objective" {
			value, err := out.Objective()
			if err != nil {
				return err
			}
			want, err := c.golden.Float32(full)
			if err != nil {
				return err
			}
			if err := c.record(full, []float32{value}, want, nil, 0, ForwardTolerance); err != nil {
				return err
			}
			continue
		}
		site, err := ParseSite(n)
		if err != nil {
			continue
		}
		if err := c.compare(full, out.Grad(site), nil, GradientTolerance); err != nil {
			return err
		}
	}
	return out.Free()
}

// objective sets the reference objective of the gradient cases.
func (c *checker) objective(plan *Plan, in *Inputs, b, t int) error {
	s := c.model.Spec
	const token = 7
	last := lastPositions(in.Mask, b, t)
	if s.Decoder {
		plan.Logits, plan.Gather, in.Gather = LogitsAt, 1, last
		plan.Objective = TokenLogits(b, 1, 1)
		in.Objective = map[string]*tensors.Tensor{
			"tokens":  tensors.FromFlatDataAndDimensions(slices.Repeat([]int32{token}, b), b, 1, 1),
			"weights": tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{1}, b), b, 1, 1),
		}
		return nil
	}
	site := Site{LastHidden, 0}
	switch {
	case s.Projection > 0:
		site = Site{TextEmbeds, 0}
	case s.Pooler != PoolerNone:
		site = Site{Pooler, 0}
	}
	dims := s.Dims(site.Kind, b, t)
	width := dims[len(dims)-1]
	if width <= token {
		return fmt.Errorf("site %s has %d components; the reference objective reads number %d", site, width, token)
	}
	weights := tensors.FromShape(shapeOf(floatType, dims...))
	err := tensors.MutableFlatData(weights, func(flat []float32) {
		for r := range b {
			row := r
			if len(dims) == 3 {
				row = r*t + int(last[r])
			}
			flat[row*width+token] = 1
		}
	})
	plan.Objective = SiteDot(s, site, b, t)
	in.Objective = map[string]*tensors.Tensor{"weights": weights}
	return err
}

// lastPositions returns the position of each row's last real token.
func lastPositions(mask []int32, b, t int) []int32 {
	out := make([]int32, b)
	for r := range b {
		for c := range t {
			if mask[r*t+c] != 0 {
				out[r] = int32(c)
			}
		}
	}
	return out
}

// ablation compares ablate.<case>.*: the output with head 1 of layer 0 zeroed at hook_z.
func (c *checker) ablation(ctx context.Context, name string) error {
	names := c.expected("ablate." + name + ".")
	if len(names) == 0 {
		return nil
	}
	in, b, t, err := c.inputs(name)
	if err != nil {
		return err
	}
	s := c.model.Spec
	plan := Plan{Batch: b, Seq: t, Storage: c.model.Params.dtype, Edits: []Edit{{Site: Z, Replace: true}}}
	if s.Decoder {
		plan.Logits = LogitsAll
	} else {
		plan.Captures = []Capture{{Site: Site{LastHidden, 0}}}
	}
	where := make([]float32, s.Layers*b*t*s.Heads)
	for i := range b * t {
		where[i*s.Heads+1] = 1 // layer 0 comes first
	}
	in.Edits = []map[string]*tensors.Tensor{{"where": tensors.FromFlatDataAndDimensions(where, s.Layers, b, t, s.Heads)}}
	out, err := c.run(ctx, plan, in)
	if err != nil {
		return err
	}
	for _, n := range names {
		full := "ablate." + name + "." + n
		switch {
		case n == "logits" && s.Decoder:
			err = c.compare(full, out.Logits(), in.Mask, ForwardTolerance)
		case n == "last_hidden_state" && !s.Decoder:
			err = c.compare(full, out.Site(Site{LastHidden, 0}), in.Mask, ForwardTolerance)
		}
		if err != nil {
			return err
		}
	}
	return out.Free()
}

// generation compares generate.<case>.tokens: greedy tokens with a cache, no stop token.
func (c *checker) generation(ctx context.Context, name string) error {
	full := "generate." + name + ".tokens"
	info, ok := c.golden.Info(full)
	if !ok {
		return nil
	}
	in, b, t, err := c.inputs(name)
	if err != nil {
		return err
	}
	want, err := c.golden.Int64(full)
	if err != nil {
		return err
	}
	if len(info.Shape) != 2 || info.Shape[0] != b {
		return fmt.Errorf("%s has shape %v for %d rows", full, info.Shape, b)
	}
	prompts := make([][]int32, b)
	for i, id := range in.IDs {
		if in.Mask[i] != 0 {
			prompts[i/t] = append(prompts[i/t], id)
		}
	}
	got, err := c.engine.Generate(ctx, c.model, prompts, GenerateOptions{MaxNew: info.Shape[1]})
	if err != nil {
		return err
	}
	ours, theirs := make([]float32, len(want)), make([]float32, len(want))
	for i, id := range want {
		ours[i], theirs[i] = float32(got[i/info.Shape[1]][i%info.Shape[1]]), float32(id)
	}
	return c.record(full, ours, theirs, nil, 0, 0)
}
