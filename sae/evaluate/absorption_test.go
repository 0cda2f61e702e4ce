package evaluate

import (
	"strings"
	"testing"
)

// TestAbsorption: words of the vocabulary are single tokens of their letters and are read at their last token; MiniLM does not tell
// first letters in its middle, so that the suite takes categories and says so.
func TestAbsorption(t *testing.T) {
	f := miniLM(t)
	b := f.bench(t)
	list, err := words(f.subject.Tokenizer, 1)
	if err != nil {
		t.Fatal(err)
	}
	for letter, all := range list {
		for _, w := range all {
			if !strings.HasPrefix(w, letter) || len(all) < minWords {
				t.Errorf("%q of %d words is listed under %s", w, len(all), letter)
			}
		}
	}
	if at, err := f.subject.lastToken("the walking dog", 4, 11); err != nil || at != 2 {
		t.Errorf("the last token of the word is at %d, %v; want 2, after [CLS] and one word", at, err)
	}
	d := f.subject.Model.Spec.DModel
	perfect, random := whole(t, b, f.site), mustNew(t, "random", "random", randomTopK(f.site, d, 4*d, 16))
	o, err := b.Absorption(t.Context(), []*Dictionary{perfect, random})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(o.On, "categories") || len(o.Notes) != 1 || !strings.Contains(o.Notes[0], "first letters are left out") {
		t.Errorf("on %q, notes %q", o.On, o.Notes)
	}
	for _, s := range o.Scores {
		judged := 0
		for _, c := range s.Detail.([]AbsorptionDetail) {
			if c.Judged {
				judged++
				if c.ProbeF1 < 0.6 || len(c.Main) < 1 {
					t.Errorf("%s: %+v", s.Dictionary, c)
				}
			}
		}
		if v := s.Values["absorption_fraction"]; judged < 5 || v.N != judged || v.Value < 0 || v.Value > 1 {
			t.Errorf("%s: %d concepts, %+v", s.Dictionary, judged, v)
		}
	}
}
