package model

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// realUnchecked lists the tensors of models/real that carry no expectation of their own.
var realUnchecked = map[string]string{
	"input_ids": "given", "attention_mask": "given", "first4.input_ids": "given", "first4.attention_mask": "given",
	"resid_index": "given: the components that resid_sample lists",
}

// realCase holds one file of models/real.
type realCase struct {
	t       *testing.T
	golden  *safetensors.File
	engine  *Engine
	model   *Model
	checked map[string]bool
}

func (c *realCase) floats(name string) []float32 {
	v, err := c.golden.Float32(name)
	if err != nil {
		c.t.Fatal(err)
	}
	c.checked[name] = true
	return v
}

func (c *realCase) ints(name string) []int32 {
	v, err := c.golden.Int64(name)
	if err != nil {
		c.t.Fatal(err)
	}
	c.checked[name] = true
	out := make([]int32, len(v))
	for i := range v {
		out[i] = int32(v[i])
	}
	return out
}

func (c *realCase) shape(name string) []int {
	info, ok := c.golden.Info(name)
	if !ok {
		c.t.Fatalf("no tensor %s", name)
	}
	return info.Shape
}

// near compares by |a-b| / (1+|b|), or relative to |b|.
func (c *realCase) near(name string, got, want []float32, tolerance float64, relative bool) {
	c.t.Helper()
	if len(got) != len(want) {
		c.t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		scale := math.Abs(float64(want[i]))
		if !relative {
			scale++
		}
		d := math.Abs(float64(got[i])-float64(want[i])) / scale
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		worst = max(worst, d)
	}
	if worst > tolerance {
		c.t.Errorf("%s: worst difference %.3g beyond %.3g", name, worst, tolerance)
	}
	c.t.Logf("%s: worst difference %.3g of %.3g allowed", name, worst, tolerance)
}

func (c *realCase) run(plan Plan, in Inputs) *Outputs {
	p, err := c.engine.Compile(c.model.Spec, plan)
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := p.Run(c.t.Context(), c.model.Params, in)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func flat(t *testing.T, x *tensors.Tensor) []float32 {
	v, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// checkReal compares a published model with models/real/<name>.safetensors.
func checkReal(t *testing.T, engine *Engine, file, name string) {
	path := graphtest.Model(t, name)
	if gguf, _ := filepath.Glob(filepath.Join(path, "*.gguf")); len(gguf) == 1 {
		path = gguf[0]
	}
	m, err := Load(t.Context(), engine.Backend(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	golden, err := safetensors.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	c := &realCase{t: t, golden: golden, engine: engine, model: m, checked: map[string]bool{}}
	if m.Spec.Decoder {
		c.decoder()
	} else {
		c.encoder()
	}
	for _, name := range golden.Names() {
		suffix := name[strings.Index(name, ".")+1:]
		if _, given := realUnchecked[name]; !c.checked[name] && !given && realUnchecked[suffix] == "" {
			t.Errorf("%s was not compared", name)
		}
	}
	t.Logf("compared or used %d/%d tensors", len(c.checked), len(golden.Names()))
}

// encoder compares sentence embeddings and hidden states. Tolerances are those of golden/models/README.md.
func (c *realCase) encoder() {
	dims := c.shape("input_ids")
	sentence := Site{Sentence, 0}
	out := c.run(Plan{Batch: dims[0], Seq: dims[1], Captures: []Capture{{Site: sentence}}},
		Inputs{IDs: c.ints("input_ids"), Mask: c.ints("attention_mask")})
	c.near("embeddings", flat(c.t, out.Site(sentence)), c.floats("embeddings"), 1e-6, false)

	dims = c.shape("first4.input_ids")
	plan := Plan{Batch: dims[0], Seq: dims[1]}
	for i := range c.model.Spec.Layers + 1 {
		plan.Captures = append(plan.Captures, Capture{Site: c.model.Spec.hiddenState(i)})
	}
	mask := c.ints("first4.attention_mask")
	out = c.run(plan, Inputs{IDs: c.ints("first4.input_ids"), Mask: mask})
	want := c.floats("first4.hidden_states")
	layer := len(want) / (c.model.Spec.Layers + 1)
	for i := range c.model.Spec.Layers + 1 {
		got, exp := flat(c.t, out.Site(c.model.Spec.hiddenState(i))), want[i*layer:(i+1)*layer]
		d := c.model.Spec.DModel
		var a, b []float32
		for r, m := range mask {
			if m != 0 {
				a, b = append(a, got[r*d:(r+1)*d]...), append(b, exp[r*d:(r+1)*d]...)
			}
		}
		c.near(fmt.Sprintf("first4.hidden_states[%d]", i), a, b, 2e-5, false)
	}
}

// decoder compares residual norms and samples, logits at the stored ids and greedy continuations of each prompt.
func (c *realCase) decoder() {
	s := c.model.Spec
	index := c.ints("resid_index")
	bucket := 0 // the longest prompt's length: one compile serves all
	for _, name := range c.golden.Names() {
		if strings.HasSuffix(name, ".input_ids") {
			bucket = max(bucket, len(c.ints(name)))
		}
	}
	for _, name := range c.golden.Names() {
		prefix, ok := strings.CutSuffix(name, ".input_ids")
		if !ok {
			continue
		}
		ids := c.ints(name)
		n := len(ids)
		in := Inputs{IDs: make([]int32, bucket), Mask: make([]int32, bucket)}
		copy(in.IDs, ids)
		for i := range ids {
			in.Mask[i] = 1
		}
		plan := Plan{Batch: 1, Seq: bucket, Logits: LogitsAll}
		for i := range s.Layers {
			plan.Captures = append(plan.Captures, Capture{Site: Site{ResidPre, i}})
		}
		plan.Captures = append(plan.Captures, Capture{Site: Site{ResidPost, s.Layers - 1}})
		out := c.run(plan, in)
		var norms, samples []float32
		for _, capture := range plan.Captures {
			x := flat(c.t, out.Site(capture.Site))
			for t := range n {
				row, sum := x[t*s.DModel:(t+1)*s.DModel], 0.0
				for _, v := range row {
					sum += float64(v) * float64(v)
				}
				norms = append(norms, float32(math.Sqrt(sum)))
				for _, j := range index {
					samples = append(samples, row[j])
				}
			}
		}
		c.near(prefix+".resid_norm", norms, c.floats(prefix+".resid_norm"), 1e-5, true)
		c.near(prefix+".resid_sample", samples, c.floats(prefix+".resid_sample"), 5e-4, false)
		logits := flat(c.t, out.Logits())
		top := c.ints(prefix + ".top_ids")
		got := make([]float32, len(top))
		k := len(top) / n
		for i, id := range top {
			got[i] = logits[(i/k)*s.Vocab+int(id)]
		}
		c.near(prefix+".top_logits", got, c.floats(prefix+".top_logits"), 3e-4, false)
		if _, ok := c.golden.Info(prefix + ".greedy"); ok {
			c.greedy(prefix, ids)
		}
		if err := out.Free(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// greedy compares greedy tokens up to the first step whose margin is within the logits' tolerance.
func (c *realCase) greedy(prefix string, ids []int32) {
	want, margin := c.ints(prefix+".greedy"), c.floats(prefix+".greedy_margin")
	got, err := c.engine.Generate(c.t.Context(), c.model, [][]int32{ids}, GenerateOptions{MaxNew: len(want)})
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.Equal(got[0], want) {
		c.t.Errorf("%s.greedy: %v, want %v (margins %v)", prefix, got[0], want, margin)
	}
}
