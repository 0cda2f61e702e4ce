package adapter_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/adapter"
	"loupe/experiments/erase/encoder"
	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/token"
)

// tiny is a BERT of a few blocks without a tokenizer.
func tiny(t *testing.T) *encoder.Encoder {
	t.Helper()
	engine := model.NewEngine(graphtest.Backend(t), nil)
	m, err := model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", "bert"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Params.Free(); err != nil {
			t.Error(err)
		}
	})
	e, err := encoder.New(engine, m, nil, erase.SelectMean)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// soft is a text of these tokens with its own word embeddings.
func soft(t *testing.T, e *encoder.Encoder, ids ...int32) *encoder.Soft {
	t.Helper()
	n := len(ids)
	s, err := e.Soften(token.Encoding{IDs: ids, Tokens: make([]string, n), Offsets: make([][2]int, n), Special: make([]bool, n), TypeIDs: make([]int32, n)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rows want random states of three texts of different lengths.
func rows(t *testing.T, e *encoder.Encoder) []adapter.Row {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	var out []adapter.Row
	for i, s := range []*encoder.Soft{soft(t, e, 2, 5, 7, 3), soft(t, e, 2, 9, 3), soft(t, e, 2, 6, 6, 8, 4, 3)} {
		target := mat.NewDense(s.Len(), e.Width(), nil)
		target.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, target)
		out = append(out, adapter.Row{Soft: s, Target: target, Weight: []float64{1, 0.5, 2}[i]})
	}
	return out
}

func create(t *testing.T, e *encoder.Encoder, c adapter.Config) *adapter.Adapter {
	t.Helper()
	a, err := adapter.New(e.Model.Spec, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fill gives up random values, so that the adapter changes something.
func fill(a *adapter.Adapter, size float64) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, l := range a.Layers {
		for i := range l.Up {
			l.Up[i] = float32(size * rng.NormFloat64())
		}
	}
}

// TestMerge: W + strength scale up down by hand and by erase.Compose; all strengths 0 give the very weights; a new adapter changes nothing.
func TestMerge(t *testing.T) {
	e := tiny(t)
	b, base := e.Engine.Backend(), e.Model.Params
	one, two := create(t, e, adapter.Config{Layers: []string{"blocks.*"}, Rank: 1, Scale: 0.5}), create(t, e, adapter.Config{Layers: []string{"blocks.0.*"}, Rank: 1, Scale: 0.5})
	fill(one, 0.1)
	fill(two, 0.2)
	if same, err := adapter.Merge(b, base, adapter.Part{Adapter: one}, adapter.Part{Adapter: two}); err != nil || same != base {
		t.Errorf("strengths 0 give %p of %p: %v", same, base, err)
	}
	merged, err := adapter.Merge(b, base, adapter.Part{Adapter: one, Strength: 2}, adapter.Part{Adapter: two, Strength: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := merged.FreeUnshared(base); err != nil {
			t.Error(err)
		}
	}()
	first, other := one.Layers[0], two.Layers[0]
	before, err := base.Values(first.Name)
	if err != nil {
		t.Fatal(err)
	}
	after, err := merged.Values(first.Name)
	if err != nil {
		t.Fatal(err)
	}
	w, x := mat.NewDense(first.Out, first.In, nil), make([]float64, first.In)
	for i, v := range before {
		w.Set(i/first.In, i%first.In, float64(v))
	}
	for j := range x {
		x[j] = math.Sin(float64(j))
	}
	wide := func(v []float32) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			out[i] = float64(v[i])
		}
		return out
	}
	want, err := erase.Compose(w, []erase.Membrane{{Up: wide(first.Up), Down: wide(first.Down)}, {Up: wide(other.Up), Down: wide(other.Down)}}, []float64{2, -1}, 0.5, x)
	if err != nil {
		t.Fatal(err)
	}
	for o := range want {
		if got := floats.Dot(wide(after[o*first.In:(o+1)*first.In]), x); math.Abs(got-want[o]) > 1e-5 { // float32 weights
			t.Fatalf("output %d is %v, composed %v", o, got, want[o])
		}
	}
	// by hand: the first entry of the weight
	if hand := before[0] + 2*0.5*first.Up[0]*first.Down[0] - 0.5*other.Up[0]*other.Down[0]; math.Abs(float64(after[0]-hand)) > 1e-6 {
		t.Errorf("first entry %v, by hand %v", after[0], hand)
	}
	last := one.Layers[len(one.Layers)-1]
	if got, _ := merged.Values(last.Name); len(two.Layers) == len(one.Layers) || len(got) != last.Out*last.In {
		t.Error("blocks.0.* names every layer")
	}
	fresh := create(t, e, adapter.Config{Layers: []string{"blocks.*"}, Rank: 4, Scale: 1})
	for _, l := range fresh.Layers {
		if slices.ContainsFunc(l.Up, func(v float32) bool { return v != 0 }) || slices.ContainsFunc(l.Down, func(v float32) bool { return math.Abs(float64(v)) > 1/math.Sqrt(float64(l.In)) }) {
			t.Errorf("%s does not begin at up 0 and down within 1/sqrt(%d)", l.Name, l.In)
		}
	}
	for _, bad := range []adapter.Config{{Rank: 1, Scale: 1}, {Layers: []string{"blocks.*"}, Scale: 1}, {Layers: []string{"blocks.*"}, Rank: 1}, {Layers: []string{"blocks.99.*"}, Rank: 1, Scale: 1}, {Layers: []string{"["}, Rank: 1, Scale: 1}} {
		if _, err := adapter.New(e.Model.Spec, bad, 1); err == nil {
			t.Errorf("%+v is no error", bad)
		}
	}
	if _, err := adapter.Merge(b, base, adapter.Part{Adapter: one, Strength: math.NaN()}); err == nil {
		t.Error("strength NaN is no error")
	}
}

// TestGradient holds the chain rule against central differences along the gradient, at two strengths at once.
func TestGradient(t *testing.T) {
	e := tiny(t)
	for _, rank := range []int{1, 4} {
		a := create(t, e, adapter.Config{Layers: []string{"blocks.*"}, Rank: rank, Scale: 0.7})
		fill(a, 0.1)
		f, err := adapter.NewFitter(e, a, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		r := rows(t, e)
		batches := []adapter.Batch{{Strength: 1, Rows: r}, {Strength: -0.5, Rows: r[:2]}}
		_, g, err := f.Gradient(t.Context(), batches...)
		if err != nil {
			t.Fatal(err)
		}
		norm := 0.0
		for i := range g.Up {
			for _, v := range slices.Concat(g.Up[i], g.Down[i]) {
				norm += float64(v) * float64(v)
			}
		}
		norm = math.Sqrt(norm)
		move := func(by float64) float64 {
			for i, l := range a.Layers {
				for j := range l.Up {
					l.Up[j] += float32(by / norm * float64(g.Up[i][j]))
				}
				for j := range l.Down {
					l.Down[j] += float32(by / norm * float64(g.Down[i][j]))
				}
			}
			loss, _, err := f.Gradient(t.Context(), batches...)
			if err != nil {
				t.Fatal(err)
			}
			return loss
		}
		const step = 1e-2
		plus := move(step)
		minus := move(-2 * step)
		want := (plus - minus) / (2 * step)
		t.Logf("rank %d: |gradient| %.5f, by differences %.5f", rank, norm, want)
		if math.Abs(want-norm) > 5e-3*norm { // float32 passes
			t.Errorf("rank %d: derivative %v, by differences %v", rank, norm, want)
		}
	}
}

// TestFitPlanted recovers the states that a planted adapter gives: the loss falls by 90 %.
func TestFitPlanted(t *testing.T) {
	e := tiny(t)
	planted := create(t, e, adapter.Config{Layers: []string{"blocks.*"}, Rank: 1, Scale: 1})
	fill(planted, 0.2)
	p, err := adapter.Merge(e.Engine.Backend(), e.Model.Params, adapter.Part{Adapter: planted, Strength: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.FreeUnshared(e.Model.Params); err != nil {
			t.Error(err)
		}
	}()
	r := rows(t, e)
	var softs []*encoder.Soft
	for _, row := range r {
		softs = append(softs, row.Soft)
	}
	states, err := e.SoftStates(t.Context(), &encoder.Variant{Params: p}, softs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r {
		r[i].Target = states[i].X
	}
	a, err := adapter.New(e.Model.Spec, adapter.Config{Layers: []string{"blocks.*"}, Rank: 1, Scale: 1}, 7)
	if err != nil {
		t.Fatal(err)
	}
	f, err := adapter.NewFitter(e, a, 0.02)
	if err != nil {
		t.Fatal(err)
	}
	var first, last float64
	for i := range 60 {
		if last, err = f.Step(t.Context(), adapter.Batch{Strength: 1, Rows: r}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = last
		}
	}
	t.Logf("loss %.4f, was %.4f", last, first)
	if !(last < 0.1*first) {
		t.Errorf("loss %v after 60 steps, was %v", last, first)
	}
	if _, err := f.Step(t.Context(), adapter.Batch{Strength: 1}); err == nil {
		t.Error("a batch without rows is no error")
	}
	if _, err := adapter.NewFitter(e, a, 0); err == nil {
		t.Error("learning rate 0 is no error")
	}
}

// TestLatentAnchors: norms lie within 0.8 and 1.2 of the concept's, in one dimension only the far side is accepted, and in two the mean
// cosine is that of the density proportional to min(1, 1 - cos): -(pi/2) / (2 pi - 2) = -0.367.
func TestLatentAnchors(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	line, err := adapter.LatentAnchors(mat.NewDense(1, 1, []float64{2}), 200, rng)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range line {
		if v := a.At(0, 0); v > -1.6 || v < -2.4 {
			t.Fatalf("an anchor at %v of a concept at 2", v)
		}
	}
	c := mat.NewDense(2, 1, []float64{3, 4})
	plane, err := adapter.LatentAnchors(c, 20000, rng)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, a := range plane {
		norm := mat.Norm(a, 2)
		if norm < 4-1e-9 || norm > 6+1e-9 {
			t.Fatalf("an anchor of norm %v for a concept of 5", norm)
		}
		sum += (3*a.At(0, 0) + 4*a.At(1, 0)) / 5 / norm
	}
	want := -(math.Pi / 2) / (2*math.Pi - 2)
	if got := sum / 20000; math.Abs(got-want) > 0.02 { // 4 standard errors
		t.Errorf("mean cosine %v, by integration %v", got, want)
	}
	if _, err := adapter.LatentAnchors(mat.NewDense(2, 2, nil), 1, rng); err == nil {
		t.Error("a concept at 0 is no error")
	}
	if _, err := adapter.LatentAnchors(c, 0, rng); err == nil {
		t.Error("no anchors are no error")
	}
}

// TestAlign by hand: of equal lengths token by token, else ends together and the mean between.
func TestAlign(t *testing.T) {
	states := mat.NewDense(4, 1, []float64{10, 20, 30, 40})
	for _, c := range []struct {
		ids, twin []int32
		want      []float64
	}{
		{[]int32{1, 8, 9, 2}, []int32{1, 5, 6, 2}, []float64{10, 20, 30, 40}},
		{[]int32{1, 8, 2}, []int32{1, 5, 6, 2}, []float64{10, 25, 40}},
		{[]int32{1, 8, 9, 7, 2}, []int32{1, 5, 6, 2}, []float64{10, 25, 25, 25, 40}},
		{[]int32{1, 5, 9, 6, 2}, []int32{1, 5, 6, 2}, []float64{10, 20, 25, 30, 40}},
	} {
		got, err := adapter.Align(c.ids, c.twin, states)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(mat.Col(nil, 0, got), c.want) {
			t.Errorf("%v beside %v gets %v, not %v", c.ids, c.twin, mat.Col(nil, 0, got), c.want)
		}
	}
	if _, err := adapter.Align([]int32{1}, []int32{1}, states); err == nil {
		t.Error("states of another twin are no error")
	}
}
