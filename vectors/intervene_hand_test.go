package vectors

import (
	"errors"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestClampHand: the component along (0, 2), whose unit vector is (0, 1), becomes the value; a floor lifts only what lies below,
// a ceiling lowers only what lies above.
func TestClampHand(t *testing.T) {
	x := rows([]float64{3, 4}, []float64{5, -2})
	for _, c := range []struct {
		clamp Clamp
		want  []float64
	}{
		{Clamp{Vector: []float64{0, 2}, Value: 1}, []float64{3, 1, 5, 1}},
		{Clamp{Vector: []float64{0, 2}, Value: 1, Side: Floor}, []float64{3, 4, 5, 1}},
		{Clamp{Vector: []float64{0, 2}, Value: 1, Side: Ceiling}, []float64{3, 1, 5, -2}},
		{Clamp{Vector: []float64{0, -2}, Value: 1}, []float64{3, -1, 5, -1}},
	} {
		closeTo(t, "clamped", flat(ok(c.clamp.Apply(x))(t)), c.want, 1e-15)
	}
	for _, c := range []Clamp{{Vector: []float64{0, 0}}, {Vector: []float64{1, 0}, Value: math.NaN()}, {Vector: []float64{1, 0}, Side: "left"}, {Vector: []float64{1}}} {
		if _, err := c.Apply(x); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// TestClampProperty: after a clamp the component is the value, nothing orthogonal has moved, and a second clamp changes nothing.
func TestClampProperty(t *testing.T) {
	x, v := normalRows(1, 20, 7), flat(normalRows(2, 1, 7))
	u := ok(Unit(v))(t)
	c := Clamp{Vector: v, Value: 0.7}
	once := ok(c.Apply(x))(t)
	for i := range 20 {
		if got := floats.Dot(u, once.RawRowView(i)); math.Abs(got-0.7) > 1e-12 {
			t.Fatalf("row %d: component %v", i, got)
		}
		moved := mat.Row(nil, i, once)
		floats.Sub(moved, x.RawRowView(i))
		floats.AddScaled(moved, -floats.Dot(u, moved), u)
		if floats.Norm(moved, 2) > 1e-12 {
			t.Fatalf("row %d moved by %v beside the direction", i, moved)
		}
	}
	closeTo(t, "twice", flat(ok(c.Apply(once))(t)), flat(once), 1e-13)
}

// TestChooseThreshold: by hand. Scores 5+ 4+ 3- 2+ 1-: F1 is 2/4, 4/5, 4/6, 6/7, 6/8 from the top, so the largest lies between
// 2 and 1; no false positive is allowed below 3.
func TestChooseThreshold(t *testing.T) {
	scores, y := []float64{2, 5, 3, 1, 4}, []int{1, 1, 0, 0, 1}
	if got := chooseThreshold(scores, y, 0); got != 1.5 {
		t.Errorf("largest F1 at %v, want 1.5", got)
	}
	if got := chooseThreshold(scores, y, 0.4); got != 3.5 {
		t.Errorf("at most 40 %% of two false positives: %v, want 3.5", got)
	}
	if got := chooseThreshold(scores, y, 0.5); got != 1.5 {
		t.Errorf("at most 50 %%: %v, want 1.5", got)
	}
	// ties are never cut
	if got := chooseThreshold([]float64{1, 1, 0}, []int{1, 0, 0}, 0.1); got != 1 {
		t.Errorf("tied scores: %v, want 1, which holds for none", got)
	}
}

// TestCalibratePlanted: the condition finds the planted direction; its held-out rates are those of two normal classes, and with a
// limit on false positives it keeps to it. Cosine and projection agree on rows of equal norm, and the sign counts.
func TestCalibratePlanted(t *testing.T) {
	x, y, direction := planted(5, 2000, 6, 2, 4)
	cfg := DefaultCondition()
	c := ok(Calibrate(x, y, cfg))(t)
	if cos := ok(Cosine(c.Vector, direction))(t); cos < 0.9 {
		t.Errorf("cosine to the planted direction %.3f", cos)
	}
	if c.TPR.Value < 0.9 || c.FPR.Value > 0.1 || c.AUC.Value < 0.95 {
		t.Errorf("rates %+v %+v, AUC %+v", c.TPR, c.FPR, c.AUC)
	}
	strict := cfg
	strict.MaxFPR = 0.01
	s := ok(Calibrate(x, y, strict))(t)
	if s.FPR.Low > 0.01 || s.FPR.Value > 0.03 || s.Threshold <= c.Threshold {
		t.Errorf("false positives %+v at threshold %v (largest F1: %v)", s.FPR, s.Threshold, c.Threshold)
	}
	meaningless := make([]int, len(y))
	for i := range meaningless {
		meaningless[i] = (i / 2) % 2 // half of each class
	}
	if null := ok(Calibrate(x, meaningless, cfg))(t); null.AUC.Low > 0.5 || null.AUC.High < 0.5 {
		t.Errorf("AUC of meaningless labels %+v", null.AUC)
	}
	opposite := Condition{Vector: []float64{1, 0}, Threshold: 0.5, Score: ScoreCosine}
	if holds := ok(opposite.Holds(rows([]float64{3, 1}, []float64{-3, 1}, []float64{0, 0})))(t); !slices.Equal(holds, []bool{true, false, false}) {
		t.Errorf("condition holds for %v", holds)
	}
	cfg.HeldOut = 0
	if _, err := Calibrate(x, y, cfg); !errors.Is(err, ErrArgument) {
		t.Errorf("held_out 0: %v", err)
	}
}

// TestGatedHand: only rows above the threshold are changed.
func TestGatedHand(t *testing.T) {
	g := Gated{Condition: Condition{Vector: []float64{2, 0}, Threshold: 1, Score: ScoreProjection}, Do: Steering{Vector: []float64{0, 1}, Strength: 3}}
	closeTo(t, "gated", flat(ok(g.Apply(rows([]float64{1, 0}, []float64{1.5, 0})))(t)), []float64{1, 0, 1.5, 3}, 0)
}

// TestTokenMask: which tokens of a prompt are touched.
func TestTokenMask(t *testing.T) {
	ids := []int32{7, 8, 9, 8}
	for _, c := range []struct {
		mask TokenMask
		want []float32
	}{
		{TokenMask{}, []float32{1, 1, 1, 1}}, {TokenMask{Skip: 1}, []float32{0, 1, 1, 1}}, {TokenMask{Last: 2}, []float32{0, 0, 1, 1}},
		{TokenMask{Only: []int32{8}}, []float32{0, 1, 0, 1}}, {TokenMask{Only: []int32{8}, Skip: 2}, []float32{0, 0, 0, 1}}, {TokenMask{NoPrompt: true}, []float32{0, 0, 0, 0}},
	} {
		if got := c.mask.Prompt(ids); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.mask, got, c.want)
		}
	}
	for _, m := range []TokenMask{{Skip: -1}, {NoPrompt: true, NoOutput: true}} {
		if m.Validate() == nil {
			t.Errorf("%+v was accepted", m)
		}
	}
}

// TestDistinct: a b a b has the bigrams ab, ba, ab.
func TestDistinct(t *testing.T) {
	for _, c := range []struct {
		ids  []int32
		want float64
	}{{[]int32{1, 2, 1, 2}, 2.0 / 3}, {[]int32{1, 2, 3}, 1}, {[]int32{1}, 1}, {[]int32{4, 4, 4, 4}, 1.0 / 3}} {
		if got := ok(distinct(c.ids, 2))(t); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%v: %v, want %v", c.ids, got, c.want)
		}
	}
}

// TestStrongestDose: the largest concept score among the doses that perplexity allows.
func TestStrongestDose(t *testing.T) {
	dose := func(strength, concept, perplexity float64) Dose {
		d := Dose{Strength: strength}
		d.Concept.Value, d.Perplexity.Value = concept, perplexity
		return d
	}
	c := DoseCurve{Doses: []Dose{dose(-1, 0, 10), dose(0, 1, 10), dose(1, 2, 14), dose(2, 5, 40)}}
	for _, want := range []struct{ ratio, strength float64 }{{1, 0}, {1.5, 1}, {5, 2}} {
		if got := ok(c.Strongest(want.ratio))(t); got.Strength != want.strength {
			t.Errorf("at ratio %v dose %v, want %v", want.ratio, got.Strength, want.strength)
		}
	}
	flat := DoseCurve{Doses: []Dose{{Strength: 0, Concepts: []float64{0, 0}}, {Strength: 1, Concepts: []float64{0, 0}}}}
	if err := flat.trend(); err != nil || flat.Trend != nil || flat.Spearman != 0 {
		t.Errorf("a concept that never varies: %v, %+v", err, flat.Trend)
	}
	if _, err := (&DoseCurve{Doses: c.Doses[:1]}).Strongest(2); !errors.Is(err, ErrArgument) {
		t.Errorf("without dose 0: %v", err)
	}
}
