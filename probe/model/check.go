package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/safetensors"
)

// Tolerances of a parity check in the measure |a-b| / (1+|b|), as golden/models/README.md states them: float32
// rounding of these models is up to 1.2e-5 in it.
const (
	ForwardTolerance  = 2e-5
	GradientTolerance = 5e-5
)

// Comparison is one expected tensor held against ours.
type Comparison struct {
	Name      string  `json:"name"`
	Compared  int     `json:"compared"` // scalars compared; padding is left out
	MaxAbs    float64 `json:"max_abs"`
	MaxRel    float64 `json:"max_rel"` // of |a-b| / (1+|b|)
	Tolerance float64 `json:"tolerance"`
	OK        bool    `json:"ok"`
}

// Certificate is the result of a parity check: every expected tensor of a golden file is in Comparisons or Unchecked.
type Certificate struct {
	Model       string            `json:"model"`
	Family      string            `json:"family"`
	Backend     string            `json:"backend"`
	Comparisons []Comparison      `json:"comparisons"`
	Unchecked   map[string]string `json:"unchecked,omitempty"` // name -> reason
	OK          bool              `json:"ok"`
}

// checker runs the cases of one golden file.
type checker struct {
	engine *Engine
	model  *Model
	golden safetensors.Reader
	cert   *Certificate
	done   map[string]bool
}

// caseInputs are the given tensors of a case; all others are expected values.
var caseInputs = []string{"input_ids", "attention_mask", "position_ids", "token_type_ids"}

// Check holds the model against a golden file: cases <case>.input_ids with expected outputs and sites,
// grad.<case>.*, ablate.<case>.* and generate.<case>.tokens (docs/golden-models.md). Only real tokens are compared.
func Check(ctx context.Context, e *Engine, m *Model, golden string) (*Certificate, error) {
	file, err := safetensors.Open(golden)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer file.Close()
	c := &checker{engine: e, model: m, golden: file, done: map[string]bool{}, cert: &Certificate{
		Model: m.Name, Family: m.Spec.Family, Backend: e.backend.String(), Unchecked: map[string]string{},
	}}
	cases := c.cases()
	if len(cases) == 0 {
		return nil, fmt.Errorf("model: %s has no case: a tensor <case>.input_ids is needed", golden)
	}
	for _, name := range cases {
		for _, run := range []func(context.Context, string) error{c.forward, c.gradients, c.ablation, c.generation} {
			if err := run(ctx, name); err != nil {
				return nil, fmt.Errorf("model: check %s: case %s: %w", golden, name, err)
			}
		}
	}
	for _, name := range file.Names() {
		if !c.done[name] {
			c.cert.Unchecked[name] = "not a site, output or input that this check knows"
		}
	}
	c.cert.OK = len(c.cert.Unchecked) == 0
	for _, cmp := range c.cert.Comparisons {
		c.cert.OK = c.cert.OK && cmp.OK
	}
	return c.cert, nil
}

// cases returns the names of the cases in file order.
func (c *checker) cases() []string {
	var out []string
	for _, name := range c.golden.Names() {
		if before, ok := strings.CutSuffix(name, ".input_ids"); ok {
			out = append(out, before)
			for _, in := range caseInputs {
				c.done[before+"."+in] = true
			}
		}
	}
	return out
}

// expected lists the tensors with this prefix, without it, leaving out inputs.
func (c *checker) expected(prefix string) []string {
	var out []string
	for _, name := range c.golden.Names() {
		if rest, ok := strings.CutPrefix(name, prefix); ok && !slices.Contains(caseInputs, rest) {
			out = append(out, rest)
		}
	}
	return out
}

// inputs reads a case's inputs.
func (c *checker) inputs(name string) (in Inputs, b, t int, err error) {
	info, _ := c.golden.Info(name + ".input_ids")
	if len(info.Shape) != 2 {
		return in, 0, 0, fmt.Errorf("%s.input_ids has shape %v, not [batch, positions]", name, info.Shape)
	}
	b, t = info.Shape[0], info.Shape[1]
	for _, part := range []struct {
		suffix string
		to     *[]int32
	}{{"input_ids", &in.IDs}, {"attention_mask", &in.Mask}, {"position_ids", &in.Positions}, {"token_type_ids", &in.Types}} {
		if _, ok := c.golden.Info(name + "." + part.suffix); !ok {
			continue
		}
		values, err := c.golden.Int64(name + "." + part.suffix)
		if err != nil {
			return in, 0, 0, err
		}
		for _, v := range values {
			*part.to = append(*part.to, int32(v))
		}
	}
	if in.Mask == nil {
		in.Mask = slices.Repeat([]int32{1}, b*t)
	}
	if _, ok := c.golden.Info(name + ".position_ids"); !ok && c.model.Spec.Decoder {
		// without position ids the reference counts 0..T-1 in every row, whatever the mask
		in.Positions = make([]int32, b*t)
		for i := range in.Positions {
			in.Positions[i] = int32(i % t)
		}
	}
	return in, b, t, nil
}

// forward compares the outputs and sites of a case.
func (c *checker) forward(ctx context.Context, name string) error {
	names := c.expected(name + ".")
	if len(names) == 0 {
		return nil
	}
	in, b, t, err := c.inputs(name)
	if err != nil {
		return err
	}
	plan := Plan{Batch: b, Seq: t, Storage: c.model.Params.dtype}
	s := c.model.Spec
	for _, n := range names {
		switch n {
		case "logits":
			plan.Logits = LogitsAll
		case "hidden_states":
			for i := range s.Layers + 1 {
				plan.Captures = append(plan.Captures, Capture{Site: s.hiddenState(i)})
			}
		default:
			if site, err := ParseSite(n); err == nil {
				if err := s.Has(site); err != nil {
					return err
				}
				plan.Captures = append(plan.Captures, Capture{Site: site})
			}
		}
	}
	out, err := c.run(ctx, plan, in)
	if err != nil {
		return err
	}
	for _, n := range names {
		full := name + "." + n
		switch n {
		case "logits":
			err = c.compare(full, out.Logits(), in.Mask, ForwardTolerance)
		case "hidden_states":
			err = c.hiddenStates(full, out, in.Mask)
		default:
			site, parseErr := ParseSite(n)
			if parseErr != nil {
				continue // reported as unchecked
			}
			err = c.compare(full, out.Site(site), in.Mask, ForwardTolerance)
		}
		if err != nil {
			return err
		}
	}
	return out.Free()
}

// hiddenState is the site of Hugging Face's hidden_states[i]: the input of block i; the last is after the final norm,
// except in CLIP.
func (s *Spec) hiddenState(i int) Site {
	switch {
	case i < s.Layers:
		return Site{ResidPre, i}
	case s.Pooler == PoolerEOS:
		return Site{ResidPost, s.Layers - 1}
	}
	return Site{LastHidden, 0}
}

func (c *checker) hiddenStates(name string, out *Outputs, mask []int32) error {
	want, err := c.golden.Float32(name)
	if err != nil {
		return err
	}
	var got []float32
	for i := range c.model.Spec.Layers + 1 {
		part, err := tensors.CopyFlatData[float32](out.Site(c.model.Spec.hiddenState(i)))
		if err != nil {
			return err
		}
		got = append(got, part...)
	}
	return c.record(name, got, want, mask, len(mask), ForwardTolerance)
}

// run compiles and runs one plan.
func (c *checker) run(ctx context.Context, plan Plan, in Inputs) (*Outputs, error) {
	p, err := c.engine.Compile(c.model.Spec, plan)
	if err != nil {
		return nil, err
	}
	return p.Run(ctx, c.model.Params, in)
}

// compare holds a tensor against an expected one. With a mask only real query positions count.
func (c *checker) compare(name string, got *tensors.Tensor, mask []int32, tolerance float64) error {
	if got == nil {
		return fmt.Errorf("%s was not computed", name)
	}
	want, err := c.golden.Float32(name)
	if err != nil {
		return err
	}
	info, _ := c.golden.Info(name)
	shape := got.Shape().Dimensions
	ours, err := tensors.CopyFlatData[float32](got)
	if err != nil {
		return err
	}
	if len(info.Shape) == len(shape) && info.Shape[0] == 1 && shape[0] > 1 && slices.Equal(info.Shape[1:], shape[1:]) {
		want = slices.Repeat(want, shape[0]) // the reference holds one row for all
	} else if !slices.Equal(info.Shape, shape) {
		return fmt.Errorf("%s has shape %v; ours is %v", name, info.Shape, shape)
	}
	rows := 0
	if mask != nil && len(shape) > 2 {
		rows = len(mask)
		if strings.HasSuffix(name, "hook_pattern") || strings.HasSuffix(name, "hook_attn_scores") {
			mask, rows = perHead(mask, shape), shape[0]*shape[1]*shape[2]
		}
	}
	return c.record(name, ours, want, mask, rows, tolerance)
}

// perHead repeats a [b,t] mask for the heads of a [b,h,t,s] pattern.
func perHead(mask []int32, shape []int) []int32 {
	t := shape[2]
	out := make([]int32, 0, shape[0]*shape[1]*t)
	for b := range shape[0] {
		for range shape[1] {
			out = append(out, mask[b*t:(b+1)*t]...)
		}
	}
	return out
}

// record compares two flat tensors; mask, when rows > 0, is over equal rows and repeats over leading axes.
func (c *checker) record(name string, got, want []float32, mask []int32, rows int, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s: %d values against %d", name, len(got), len(want))
	}
	cmp := Comparison{Name: name, Tolerance: tolerance}
	width := 1
	if rows > 0 {
		// hidden_states has a leading axis of layers: its rows repeat the mask
		repeats := 1
		if strings.HasSuffix(name, "hidden_states") {
			repeats = c.model.Spec.Layers + 1
		}
		width = len(got) / (rows * repeats)
	}
	for i := range got {
		if rows > 0 && mask[(i/width)%rows] == 0 {
			continue
		}
		a, b := float64(got[i]), float64(want[i])
		diff := math.Abs(a - b)
		if math.IsNaN(diff) {
			diff = math.Inf(1)
		}
		cmp.Compared++
		cmp.MaxAbs = max(cmp.MaxAbs, diff)
		cmp.MaxRel = max(cmp.MaxRel, diff/(1+math.Abs(b)))
	}
	if cmp.Compared == 0 {
		return errors.New(name + ": nothing to compare: every position is padding")
	}
	cmp.OK = cmp.MaxRel <= tolerance
	c.cert.Comparisons = append(c.cert.Comparisons, cmp)
	c.done[name] = true
	return nil
}
