package evaluate

import (
	"math"
	"testing"
)

// TestHarmonicInterval: by hand, 3 / (1/0.75 + 1/0.5 + 1/1) = 0.6923 of Acc_e 0.25, Acc_s 0.5, Acc_g 0; the last has no doubt in resamples, so that Wilson's
// end of it, 4 of 4, lowers the interval.
func TestHarmonicInterval(t *testing.T) {
	e, s, g := newSample(), newSample(), newSample()
	for i, v := range []float64{1, 0, 0, 0} {
		e.add(string(rune('a'+i)), v)
		g.add(string(rune('a'+i)), 0)
	}
	for i, v := range []float64{1, 0, 1, 0} {
		s.add(string(rune('a'+i)), v)
	}
	h, err := harmonicInterval(t.Context(), e, s, g, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 / (1/0.75 + 1/0.5 + 1.0); math.Abs(h.Value-want) > 1e-12 {
		t.Errorf("H %v, want %v", h.Value, want)
	}
	w, err := g.interval(t.Context(), true, 1)
	if err != nil {
		t.Fatal(err)
	}
	if w.Value != 0 || w.High < 0.3 {
		t.Errorf("no hit in four prompts: %+v", w)
	}
	if bound := 3 / (1/0.75 + 1/0.5 + 1/(1-w.High)); h.Low > bound {
		t.Errorf("H from %v; the synonyms' doubt alone allows %v", h.Low, bound)
	}
	// two fits of one prompt are one unit
	one := newSample()
	for _, v := range []float64{1, 0} {
		one.add("a", v)
		one.add("b", v)
	}
	if i, err := one.interval(t.Context(), true, 1); err != nil || i.N != 2 || i.Value != 0.5 || i.Low != 0.5 || i.High != 0.5 {
		t.Errorf("two prompts that hit in one of two fits each: %+v, %v", i, err)
	}
}
