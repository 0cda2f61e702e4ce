package vectors

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestPatternHand: three heads over a b a b whose numbers are known.
func TestPatternHand(t *testing.T) {
	ids := []int32{5, 6, 5, 6}
	// an induction head: the third token looks at the second, which followed the first a; the fourth at the third
	induction := rows([]float64{1, 0, 0, 0}, []float64{1, 0, 0, 0}, []float64{0, 1, 0, 0}, []float64{0, 0, 1, 0})
	h := ok(DescribePattern(induction, ids))(t)
	if h.Induction != 1 || h.InductionN != 2 || h.Previous != 1 || h.Same != 0 || h.SameN != 2 || h.Entropy != 0 || h.Self != 0.25 || math.Abs(h.First-1.0/3) > 1e-15 || h.Distance != 0.75 {
		t.Errorf("induction head: %+v", h)
	}
	uniform := rows([]float64{1, 0, 0, 0}, []float64{0.5, 0.5, 0, 0}, []float64{1. / 3, 1. / 3, 1. / 3, 0}, []float64{0.25, 0.25, 0.25, 0.25})
	h = ok(DescribePattern(uniform, ids))(t)
	closeTo(t, "uniform causal head", []float64{h.Entropy, h.Same, h.Previous, h.First, h.Distance, h.Self},
		[]float64{(math.Log(2) + math.Log(3) + math.Log(4)) / 4, (1./3 + 0.25) / 2, (0.5 + 1./3 + 0.25) / 3, (0.5 + 1./3 + 0.25) / 3, (0 + 0.5 + 1 + 1.5) / 4, (1 + 0.5 + 1./3 + 0.25) / 4}, 1e-15)
	if h = ok(DescribePattern(identity(2), ids[:2]))(t); h.InductionN != 0 || h.Induction != 0 || h.Self != 1 {
		t.Errorf("two different tokens: %+v", h)
	}
	for _, bad := range []*mat.Dense{rows([]float64{0.9, 0}, []float64{0.5, 0.5}), rows([]float64{2, -1}, []float64{0.5, 0.5}), normalRows(1, 2, 3)} {
		if _, err := DescribePattern(bad, ids[:2]); err == nil {
			t.Errorf("%v is no pattern", mat.Formatted(bad))
		}
	}
}

// TestLensDirection: the direction of a token gives each component the part that Attribute gives it.
func TestLensDirection(t *testing.T) {
	for _, kind := range []NormKind{LayerNorm, RMSNorm, NoNorm} {
		lens := &Lens{Norm: kind, Eps: 1e-5, Gamma: flat(normalRows(1, 1, 8)), Beta: flat(normalRows(2, 1, 8)), Unembed: normalRows(3, 8, 20)}
		components := []*mat.Dense{normalRows(5, 1, 8), normalRows(6, 1, 8)}
		var residual mat.Dense
		residual.Add(components[0], components[1])
		a := ok(lens.Attribute(&residual, components, []int{7}))(t)
		direction := lens.direction(residual.RawRowView(0), 7)
		for c, component := range components {
			closeTo(t, string(kind), []float64{floats.Dot(direction, component.RawRowView(0))}, []float64{a.Parts.At(c, 0)}, 1e-12)
		}
	}
}

// TestTunedLensHand: h = (1, 2) through W = [[0, 1], [0, 0]] and b = (0, 3) is (1 + 2, 2 + 3).
func TestTunedLensHand(t *testing.T) {
	lens := &Lens{Norm: NoNorm, Unembed: identity(2)}
	tuned := &TunedLens{Lens: lens, Model: "abc", Translators: map[int]*Translator{4: {Weight: rows([]float64{0, 1}, []float64{0, 0}), Bias: []float64{0, 3}}}}
	h := rows([]float64{1, 2})
	closeTo(t, "translated", flat(ok(tuned.Translate(4, h))(t)), []float64{3, 5}, 0)
	closeTo(t, "a layer without translator", flat(ok(tuned.Translate(3, h))(t)), []float64{1, 2}, 0)
	if r := ok(tuned.Read(4, h, 1))(t); r.Top[0][0] != 1 {
		t.Errorf("top token %v", r.Top)
	}
	dir := t.TempDir()
	if err := tuned.Write(dir); err != nil {
		t.Fatal(err)
	}
	back := ok(ReadTunedLens(dir, lens, "abc"))(t)
	if !mat.Equal(back.Translators[4].Weight, tuned.Translators[4].Weight) || back.Translators[4].Bias[1] != 3 || len(back.Translators) != 1 {
		t.Errorf("read back: %+v", back.Translators[4])
	}
	if _, err := ReadTunedLens(dir, lens, "other"); !errors.Is(err, ErrArgument) {
		t.Errorf("weights of another model: %v", err)
	}
	if _, err := ReadTunedLens(dir, &Lens{Norm: NoNorm, Unembed: identity(3)}, ""); !errors.Is(err, ErrShape) {
		t.Errorf("another width: %v", err)
	}
	if err := (&TunedLens{Lens: lens}).Write(dir); !errors.Is(err, ErrArgument) {
		t.Errorf("no translator: %v", err)
	}
}
