package train

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// TestStepHand: the first step of Adam moves every weight by lr against its gradient's sign, whatever its size, and AdamW
// shrinks the weights by 1 - lr decay as well: at eps = 1e-12 both to float32's precision.
func TestStepHand(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	for _, decay := range []float64{0, 0.5} {
		cfg := DefaultConfig()
		cfg.LR, cfg.Eps, cfg.WeightDecay = 0.01, 1e-12, decay
		tr := trainer(t, e, m, cfg, "blocks.1.mlp.W_in")
		plan, in := squares(m.Spec), inputs(m.Spec, 1)
		_, g, err := tr.Gradients(t.Context(), plan, in)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Apply(g); err != nil {
			t.Fatal(err)
		}
		before, after, moved := values(t, m.Params, "blocks.1.W_in"), values(t, tr.Params(), "blocks.1.W_in"), 0
		for i, gi := range g["blocks.1.W_in"] {
			if math.Abs(float64(gi)) < 1e-9 {
				continue
			}
			moved++
			want := float64(before[i])*(1-0.01*decay) - math.Copysign(0.01, float64(gi))
			if math.Abs(float64(after[i])-want) > 1e-6 {
				t.Fatalf("decay %v, weight %d: %v, want %v", decay, i, after[i], want)
			}
		}
		if moved < len(before)/2 {
			t.Errorf("only %d of %d weights have a gradient", moved, len(before))
		}
	}
}

// TestGradientCheck holds the gradients of single weights in every part of several architectures to central differences.
func TestGradientCheck(t *testing.T) {
	e := engine(t)
	for model, names := range map[string][]string{
		"bert": {"W_E", "blocks.0.W_Q", "blocks.1.b_in", "ln_embed.w"}, "gpt2": {"W_pos", "blocks.0.W_O", "ln_final.b"},
		"llama-tied": {"blocks.0.W_gate", "blocks.1.W_K"},
	} {
		m := tiny(t, e, model)
		tr := trainer(t, e, m, DefaultConfig(), names...)
		plan, in := squares(m.Spec), inputs(m.Spec, 2)
		_, g, err := tr.Gradients(t.Context(), plan, in)
		if err != nil {
			t.Fatal(err)
		}
		program, err := e.Compile(m.Spec, plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			old := values(t, m.Params, name)
			at := 0 // the value of the largest gradient, where float32 noise matters least
			for i, v := range g[name] {
				if math.Abs(float64(v)) > math.Abs(float64(g[name][at])) {
					at = i
				}
			}
			const h = 1e-2
			var side [2]float64
			for i, sign := range []float32{1, -1} {
				moved := slices.Clone(old)
				moved[at] += sign * h
				p, err := m.Params.WithValues(e.Backend(), map[string][]float32{name: moved})
				if err != nil {
					t.Fatal(err)
				}
				out, err := program.Run(t.Context(), p, in)
				if err != nil {
					t.Fatal(err)
				}
				v, err := out.Objective()
				if err != nil {
					t.Fatal(err)
				}
				side[i] = float64(v)
				if err := errors.Join(out.Free(), p.FreeUnshared(m.Params)); err != nil {
					t.Fatal(err)
				}
			}
			got, want := float64(g[name][at]), (side[0]-side[1])/(2*h)
			if math.Abs(got-want) > 0.02*math.Abs(want)+2e-5 { // curvature over h and the noise of a float32 loss near 1 over 2h
				t.Errorf("%s, %s[%d]: gradient %v, difference %v", model, name, at, got, want)
			}
		}
	}
}

// TestSubsetStays: training a subset leaves every other tensor, and the model itself, bit-identical, and compiles once.
func TestSubsetStays(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "gpt2")
	before := all(t, m.Spec, m.Params)
	cfg := DefaultConfig()
	cfg.WeightDecay = 0.1
	tr := trainer(t, e, m, cfg, "blocks.*.mlp.*", "blocks.last.attn.*")
	first := steps(t, tr, 1, 1)
	compiles := e.Compiles()
	for range 20 {
		if _, err := tr.Step(t.Context(), squares(m.Spec), inputs(m.Spec, 1)); err != nil {
			t.Fatal(err)
		}
	}
	last := steps(t, tr, 1, 1)
	if !(last < 0.95*first) {
		t.Errorf("loss %v after 20 steps on one batch, %v before", last, first)
	}
	if e.Compiles() != compiles || compiles != 1 {
		t.Errorf("%d compiles, and %d after the first step", e.Compiles(), compiles)
	}
	after, still := all(t, m.Spec, tr.Params()), all(t, m.Spec, m.Params)
	for _, p := range m.Spec.Params() {
		trained := slices.Contains(tr.Names(), p.Name)
		if !same(before, still, p.Name) {
			t.Errorf("the model's own %s changed", p.Name)
		}
		// the keys' bias shifts a row of scores as a whole: its gradient is zero but for rounding
		if same(before, after, p.Name) == trained && !strings.HasSuffix(p.Name, "b_K") {
			t.Errorf("%s: trained %v, changed %v", p.Name, trained, !same(before, after, p.Name))
		}
	}
}

// TestMask: weights under a mask of zeros stay, even with decay, and a mask of ones is no mask.
func TestMask(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	cfg := DefaultConfig()
	cfg.WeightDecay = 0.2
	const name = "blocks.0.W_in"
	free, ones, half := trainer(t, e, m, cfg, name), trainer(t, e, m, cfg, name), trainer(t, e, m, cfg, name)
	before := values(t, m.Params, name)
	mask, full := make([]float32, len(before)), make([]float32, len(before))
	for i := range mask {
		mask[i], full[i] = float32(i%2), 1
	}
	if err := errors.Join(ones.Mask(map[string][]float32{name: full}), half.Mask(map[string][]float32{name: mask})); err != nil {
		t.Fatal(err)
	}
	for _, tr := range []*Trainer{free, ones, half} {
		steps(t, tr, 1, 3)
	}
	if !slices.Equal(values(t, free.Params(), name), values(t, ones.Params(), name)) {
		t.Error("a mask of ones changed the training")
	}
	for i, v := range values(t, half.Params(), name) {
		if masked := i%2 == 0; masked != (v == before[i]) {
			t.Fatalf("weight %d: %v, was %v, mask %v", i, v, before[i], mask[i])
		}
	}
	if err := half.Mask(nil); err == nil {
		t.Error("masks were changed between steps")
	}
	if err := trainer(t, e, m, cfg, name).Mask(map[string][]float32{"W_E": full}); err == nil {
		t.Error("a mask of a parameter that is not trained was taken")
	}
}

// TestPlantedMap: the readings of a frozen model with other weights in one layer are learnt by training that layer alone.
func TestPlantedMap(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	site := squares(m.Spec)
	truth := values(t, m.Params, "blocks.1.b_out")
	for i := range truth {
		truth[i] += float32(math.Sin(float64(i)))
	}
	teacher, err := m.Params.WithValues(e.Backend(), map[string][]float32{"blocks.1.b_out": truth})
	if err != nil {
		t.Fatal(err)
	}
	defer teacher.FreeUnshared(m.Params)
	capture := lastHidden()
	program, err := e.Compile(m.Spec, capture)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.LR, cfg.Steps, cfg.Schedule = 0.1, 500, ScheduleCosine
	tr := trainer(t, e, m, cfg, "blocks.1.b_out")
	var first, last float64
	for step := range cfg.Steps {
		in := inputs(m.Spec, uint64(step))
		out, err := program.Run(t.Context(), teacher, plain(in))
		if err != nil {
			t.Fatal(err)
		}
		target, err := tensors.CopyFlatData[float32](out.Capture(capture.Captures[0]))
		if err != nil {
			t.Fatal(err)
		}
		if last, err = tr.Step(t.Context(), site, withTarget(m.Spec, in.IDs, target)); err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			first = last
		}
		if err := out.Free(); err != nil {
			t.Fatal(err)
		}
	}
	if !(last < 1e-4*first) {
		t.Errorf("loss %g at the end, %g at the start", last, first)
	}
	t.Logf("loss %.3g to %.3g", first, last)
}

// TestZeroGradients: gradients of zero without decay leave the weights as they are; with clipping, a gradient's norm is at
// most the limit.
func TestZeroGradients(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "distilbert")
	tr := trainer(t, e, m, DefaultConfig(), "all")
	before := all(t, m.Spec, m.Params)
	g := Gradients{}
	for _, name := range tr.Names() {
		g[name] = make([]float32, len(before[name]))
	}
	for range 3 {
		if err := tr.Apply(g); err != nil {
			t.Fatal(err)
		}
	}
	after := all(t, m.Spec, tr.Params())
	for name := range before {
		if !same(before, after, name) {
			t.Errorf("%s changed", name)
		}
	}
}

// TestClip: scaling the gradient above the limit changes nothing, since Adam sees the clipped one; below it, its moments do.
func TestClip(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	cfg := DefaultConfig()
	cfg.ClipNorm, cfg.Eps = 0.5, 1 // with eps of the gradient's size the step depends on it
	run := func(scale float64) (float64, []float32) {
		tr := trainer(t, e, m, cfg, "blocks.0.W_in")
		g := Gradients{"blocks.0.W_in": slices.Clone(values(t, m.Params, "blocks.0.W_in"))}
		g.Scale(scale / g.Norm())
		if err := tr.Apply(g); err != nil {
			t.Fatal(err)
		}
		return tr.GradNorm(), values(t, tr.Params(), "blocks.0.W_in")
	}
	normA, a := run(10)
	normB, b := run(1000)
	_, c := run(0.1)
	if math.Abs(normA-10) > 1e-3 || math.Abs(normB-1000) > 0.1 {
		t.Errorf("norms %v and %v before clipping", normA, normB)
	}
	far := false
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-7 {
			t.Fatalf("weight %d: %v and %v after clipping", i, a[i], b[i])
		}
		far = far || math.Abs(float64(a[i]-c[i])) > 1e-6
	}
	if !far {
		t.Error("a gradient below the limit gave the same step")
	}
}

// TestNonFinite: NaN in the loss or in a gradient is an error that names step and tensor; no weight changes.
func TestNonFinite(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	tr := trainer(t, e, m, DefaultConfig(), "blocks.0.W_in", "blocks.1.W_in")
	steps(t, tr, 1, 2)
	before := all(t, m.Spec, tr.Params())
	bad := inputs(m.Spec, 1)
	target := make([]float32, batch*seq*m.Spec.DModel)
	target[5] = float32(math.NaN())
	if _, err := tr.Step(t.Context(), squares(m.Spec), withTarget(m.Spec, bad.IDs, target)); !errors.Is(err, ErrNonFinite) || !strings.Contains(err.Error(), "step 3: the loss (test_squares)") {
		t.Errorf("error %v", err)
	}
	g := Gradients{"blocks.0.W_in": make([]float32, len(before["blocks.0.W_in"])), "blocks.1.W_in": make([]float32, len(before["blocks.1.W_in"]))}
	g["blocks.0.W_in"][0], g["blocks.1.W_in"][7] = 1, float32(math.Inf(1))
	if err := tr.Apply(g); !errors.Is(err, ErrNonFinite) || !strings.Contains(err.Error(), "step 3: value 7 of the gradient of blocks.1.W_in") {
		t.Errorf("error %v", err)
	}
	after := all(t, m.Spec, tr.Params())
	for name := range before {
		if !same(before, after, name) {
			t.Errorf("%s changed", name)
		}
	}
	if tr.StepsDone() != 2 {
		t.Errorf("%d steps done", tr.StepsDone())
	}
}

// TestAccumulate: the sum of two half batches' gradients is the whole batch's.
func TestAccumulate(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	tr := trainer(t, e, m, DefaultConfig(), "blocks.0.W_in")
	_, a, err := tr.Gradients(t.Context(), squares(m.Spec), inputs(m.Spec, 1))
	if err != nil {
		t.Fatal(err)
	}
	b := Gradients{"blocks.0.W_in": slices.Clone(a["blocks.0.W_in"])}
	if err := b.Add(a, -0.25); err != nil {
		t.Fatal(err)
	}
	b.Scale(4)
	if math.Abs(b.Norm()-3*a.Norm()) > 1e-6*a.Norm() {
		t.Errorf("norm %v, want %v", b.Norm(), 3*a.Norm())
	}
	if err := b.Add(Gradients{"W_E": nil}, 1); err == nil {
		t.Error("gradients of other parameters were added")
	}
}
