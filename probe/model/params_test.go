package model

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// TestBFloat16Storage loads a model both ways: matrices take half the bytes and are float32 rounded to 8 bits of
// precision, vectors stay, and the outputs agree as such rounding allows.
func TestBFloat16Storage(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	full := tiny(t, engine, "llama-untied")
	half, err := Load(t.Context(), engine.Backend(), full.Dir, Options{DType: BFloat16})
	if err != nil {
		t.Fatal(err)
	}
	defer half.Params.Free()
	var fullBytes, halfBytes, vectorBytes uintptr
	for i, p := range full.Spec.Params() {
		a, b := full.Params.tensors[i], half.Params.tensors[i]
		fullBytes += uintptr(a.Shape().ByteSize())
		halfBytes += uintptr(b.Shape().ByteSize())
		if len(p.Dims) == 1 {
			vectorBytes += uintptr(a.Shape().ByteSize())
		}
	}
	if 2*(halfBytes-vectorBytes) != fullBytes-vectorBytes {
		t.Errorf("%d bytes against %d, of which vectors %d", halfBytes, fullBytes, vectorBytes)
	}
	const b, seq = 2, 7
	in := Inputs{IDs: someIDs(3, b*seq, full.Spec.Vocab)}
	plan := Plan{Batch: b, Seq: seq, Logits: LogitsAll}
	want := values(t, run(t, engine, full, plan, in).Logits())
	if _, err := engine.mustCompile(t, full.Spec, plan).Run(t.Context(), half.Params, in); err == nil || !strings.Contains(err.Error(), "bfloat16") {
		t.Errorf("weights in bfloat16 in a program for float32: %v", err)
	}
	plan.Storage = BFloat16
	got := values(t, run(t, engine, half, plan, in).Logits())
	differs(t, "rounded weights", got, want, 1e-6)

	// the same rounding of the float32 weights gives the same logits, but for the order of sums
	rounded := map[string]*tensors.Tensor{}
	for _, p := range full.Spec.Params() {
		if len(p.Dims) < 2 {
			continue
		}
		v := values(t, full.Params.Get(p.Name))
		for i := range v {
			v[i] = bfloat16.FromFloat32(v[i]).Float32()
		}
		rounded[p.Name] = tensors.FromFlatDataAndDimensions(v, p.Dims...)
	}
	params, err := full.Params.With(rounded)
	if err != nil {
		t.Fatal(err)
	}
	plan.Storage = Float32
	out, err := engine.mustCompile(t, full.Spec, plan).Run(t.Context(), params, in)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "logits of rounded weights", got, values(t, out.Logits()), 1e-5)
}

func (e *Engine) mustCompile(t *testing.T, s *Spec, plan Plan) *Program {
	t.Helper()
	p, err := e.Compile(s, plan)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestParamsWith replaces a weight without touching the original or compiling again.
func TestParamsWith(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "gpt2")
	plan := Plan{Batch: 1, Seq: 5, Logits: LogitsAll}
	in := Inputs{IDs: someIDs(4, 5, m.Spec.Vocab)}
	before := values(t, run(t, engine, m, plan, in).Logits())

	bias := m.Params.Get("ln_final.b")
	moved := values(t, bias)
	for i := range moved {
		moved[i] += 1
	}
	changed, err := m.Params.With(map[string]*tensors.Tensor{"ln_final.b": tensors.FromFlatDataAndDimensions(moved, len(moved))})
	if err != nil {
		t.Fatal(err)
	}
	compiles := engine.Compiles()
	out, err := engine.mustCompile(t, m.Spec, plan).Run(t.Context(), changed, in)
	if err != nil {
		t.Fatal(err)
	}
	// the logits move by W_U times a vector of ones
	table := values(t, m.Params.Get("W_E"))
	after := values(t, out.Logits())
	for i := range after {
		row, d, sum := i%m.Spec.Vocab, m.Spec.DModel, 0.0
		for _, v := range table[row*d : (row+1)*d] {
			sum += float64(v)
		}
		if want := float64(before[i]) + sum; math.Abs(float64(after[i])-want) > 1e-4*(1+math.Abs(want)) {
			t.Fatalf("logit %d is %v, want %v", i, after[i], want)
		}
	}
	if again := values(t, run(t, engine, m, plan, in).Logits()); !slices.Equal(again, before) {
		t.Error("the original weights changed")
	}
	if engine.Compiles() != compiles {
		t.Error("a changed weight compiled again")
	}
	if m.Params.Get("W_nothing") != nil {
		t.Error("a parameter that does not exist is returned")
	}
	for name, x := range map[string]*tensors.Tensor{
		"W_nothing":  constant(1, 3),
		"ln_final.w": constant(1, 3),
		"ln_final.b": tensors.FromFlatDataAndDimensions(make([]int32, m.Spec.DModel), m.Spec.DModel),
	} {
		if _, err := m.Params.With(map[string]*tensors.Tensor{name: x}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s of shape %s: %v", name, x.Shape(), err)
		}
	}
}

// TestParamsWithValues: values come back as they were put, rounded in bfloat16; the original is untouched, and stays after the
// copy is freed.
func TestParamsWithValues(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, dtype := range []DType{Float32, BFloat16} {
		m, err := Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", "gpt2"), Options{DType: dtype})
		if err != nil {
			t.Fatal(err)
		}
		const name = "blocks.0.W_out"
		before, err := m.Params.Values(name)
		if err != nil {
			t.Fatal(err)
		}
		put := slices.Clone(before)
		for i := range put {
			put[i] += 0.5
		}
		q, err := m.Params.WithValues(engine.Backend(), map[string][]float32{name: put})
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Values(name)
		if err != nil {
			t.Fatal(err)
		}
		tol := 0.0
		if dtype == BFloat16 {
			tol = 1.0 / 256 // half a unit in the last of 8 digits
		}
		nearly(t, name, got, put, tol)
		if q.Get("W_E") != m.Params.Get("W_E") {
			t.Error("the copy does not share the embedding")
		}
		if err := q.FreeUnshared(m.Params); err != nil {
			t.Fatal(err)
		}
		after, err := m.Params.Values(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, after) {
			t.Error("the original changed")
		}
		if _, err := m.Params.WithValues(engine.Backend(), map[string][]float32{name: put[1:]}); err == nil {
			t.Error("one value too few was accepted")
		}
		if _, err := m.Params.Values("W_none"); err == nil {
			t.Error("an unknown parameter was accepted")
		}
		if err := m.Params.Free(); err != nil {
			t.Fatal(err)
		}
	}
}
