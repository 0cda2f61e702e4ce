package method

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/reader"
	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/probe/train"
)

// TestAligned: what texts begin and end with meets itself; the words between are spread over the other's, or meet what follows.
func TestAligned(t *testing.T) {
	for _, c := range []struct {
		from, to []int32
		want     []int
	}{
		{[]int32{1, 5, 2}, []int32{1, 7, 2}, []int{0, 1, 2}},
		{[]int32{1, 4, 5, 6, 2}, []int32{1, 4, 8, 9, 6, 2}, []int{0, 1, 2, 4, 5}},
		{[]int32{1, 4, 5, 6, 7, 2}, []int32{1, 8, 9, 2}, []int{0, 1, 1, 2, 2, 3}},
		{[]int32{1, 4, 5, 2}, []int32{1, 2}, []int{0, 1, 1, 1}},
		{[]int32{4, 5}, []int32{4}, []int{0, 0}},
		{[]int32{1, 4, 2}, []int32{1, 4, 2}, []int{0, 1, 2}},
	} {
		if got := aligned(token.Encoding{IDs: c.from}, token.Encoding{IDs: c.to}); !slices.Equal(got, c.want) {
			t.Errorf("%v on %v: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// TestDeck: every index comes once before any comes again, and no hand has one twice.
func TestDeck(t *testing.T) {
	d := newDeck(5, 1)
	count := make([]int, 5)
	for range 5 {
		hand := d.deal(3)
		slices.Sort(hand)
		if len(slices.Compact(slices.Clone(hand))) != 3 {
			t.Errorf("hand %v", hand)
		}
		for _, i := range hand {
			count[i]++
		}
	}
	if slices.Max(count)-slices.Min(count) > 1 {
		t.Errorf("dealt %v", count)
	}
	if got := newDeck(2, 1).deal(8); len(got) != 2 {
		t.Errorf("%d of 2", len(got))
	}
}

// TestSoftGradient holds the attack's gradient with respect to its tokens against central differences on a tiny encoder, hand-computes its
// first steps (Adam's is the rate times the sign), and sees that the attack lowers its loss and moves its own tokens alone.
func TestSoftGradient(t *testing.T) {
	engine := model.NewEngine(graphtest.Backend(t), nil)
	m, err := model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", "bert"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	e := &encoder.Encoder{Engine: engine, Model: m, Pool: "mean"}
	r, err := reader.DrawAttention(2, 4, m.Spec.DModel, 3, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	text := func(ids ...int32) token.Encoding {
		special := make([]bool, len(ids))
		special[0], special[len(ids)-1] = true, true
		return token.Encoding{IDs: ids, Tokens: make([]string, len(ids)), Offsets: make([][2]int, len(ids)), Special: special, TypeIDs: make([]int32, len(ids))}
	}
	texts := []string{"one", "two"}
	encodings := []token.Encoding{text(1, 7, 8, 2), text(1, 9, 10, 11, 2)}
	states, err := e.EncodingStates(t.Context(), nil, encodings)
	if err != nil {
		t.Fatal(err)
	}
	was := &original{reader: r, states: map[string]*encoder.State{}}
	for i, s := range states {
		was.states[texts[i]] = s
	}
	cfg := train.DefaultConfig()
	names, err := train.Subset(m.Spec, textEncoder...)
	if err != nil {
		t.Fatal(err)
	}
	teach, err := newTeacher(e, r, names, 7, 4, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer teach.Params().FreeUnshared(m.Params)
	a := &adversary{was: was, teacher: teach, cfg: SoftConfig{Tokens: 2, Steps: 0, LR: 0.01, Step: StepAdam, Init: InitRandom}, latest: map[string]delta{}, seed: 1}
	queries := r.Queries(1)
	lessons, _, _, err := a.attack(t.Context(), texts, queries)
	if err != nil {
		t.Fatal(err)
	}
	_, grads, err := teach.embedGradients(t.Context(), lessons, queries)
	if err != nil {
		t.Fatal(err)
	}
	d := m.Spec.DModel
	for i, g := range grads {
		part := g.Slice(1, 3, 0, d)
		norm := mat.Norm(part, 2)
		const step = 0.02
		value := func(sign float64) float64 {
			moved := slices.Clone(lessons)
			moved[i].embeds = mat.DenseCopyOf(lessons[i].embeds)
			to := moved[i].embeds.Slice(1, 3, 0, d).(*mat.Dense)
			to.Apply(func(p, j int, v float64) float64 { return v + sign*step*part.At(p, j)/norm }, to)
			loss, _, err := teach.embedGradients(t.Context(), moved, queries)
			if err != nil {
				t.Fatal(err)
			}
			return loss
		}
		// float32 passes leave 1e-2 of the difference
		if slope := (value(1) - value(-1)) / (2 * step); math.Abs(slope-norm) > 2e-2*norm {
			t.Errorf("text %d: slope %v, gradient %v", i, slope, norm)
		}
	}
	x := []float64{1, 1, 1}
	a.cfg.mover(3)(x, []float64{4, -0.5, 0})
	for j, want := range []float64{0.99, 1.01, 1} {
		if math.Abs(x[j]-want) > 1e-9 {
			t.Errorf("Adam's first step: %v", x)
		}
	}
	sign := a.cfg
	sign.Step = StepSign
	sign.mover(3)(x, []float64{1e-9, 0, -2})
	for j, want := range []float64{0.98, 1.01, 1.01} {
		if math.Abs(x[j]-want) > 1e-7 {
			t.Errorf("a step by the sign: %v", x)
		}
	}
	for _, step := range []string{StepAdam, StepSign} {
		a.cfg.Steps, a.cfg.Step = 12, step
		found, before, after, err := a.attack(t.Context(), texts, queries)
		if err != nil {
			t.Fatal(err)
		}
		if after >= before {
			t.Errorf("%s: the attack's loss went from %v to %v", step, before, after)
		}
		for i, l := range found {
			own, err := e.Soften(encodings[i])
			if err != nil {
				t.Fatal(err)
			}
			if !mat.Equal(l.embeds.Slice(3, l.text.Len(), 0, d), own.Embeds.Slice(1, len(encodings[i].IDs), 0, d)) {
				t.Errorf("%s: text %d was changed behind the attack's tokens", step, i)
			}
		}
	}
}
