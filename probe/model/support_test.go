package model

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// tiny loads one of the golden models with random weights.
func tiny(t testing.TB, engine *Engine, name string) *Model {
	t.Helper()
	m, err := Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", name), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	return m
}

// run compiles and runs a plan.
func run(t testing.TB, e *Engine, m *Model, plan Plan, in Inputs) *Outputs {
	t.Helper()
	p, err := e.Compile(m.Spec, plan)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Run(t.Context(), m.Params, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// values copies a tensor to the host.
func values(t testing.TB, x *tensors.Tensor) []float32 {
	t.Helper()
	if x == nil {
		t.Fatal("no such output")
	}
	v, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// nearly fails unless every |a-b| <= tol (1+|b|).
func nearly(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tol*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%s: value %d is %v, want %v (tolerance %g)", what, i, got[i], want[i], tol)
		}
	}
}

// differs fails when the two are equal everywhere to tol.
func differs(t testing.TB, what string, a, b []float32, tol float64) {
	t.Helper()
	for i := range a {
		if math.Abs(float64(a[i])-float64(b[i])) > tol*(1+math.Abs(float64(b[i]))) {
			return
		}
	}
	t.Fatalf("%s: nothing changed", what)
}

// someIDs draws n token ids that are not special in the tiny models.
func someIDs(seed uint64, n, vocab int) []int32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(3 + r.IntN(vocab-8))
	}
	return out
}

// normal draws a tensor of standard normal values.
func normal(seed uint64, dims ...int) *tensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	r := rand.New(rand.NewPCG(seed, 2))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(v, dims...)
}

// constant makes a tensor of one value.
func constant(value float32, dims ...int) *tensors.Tensor {
	return tensors.FromScalarAndDimensions(value, dims...)
}
