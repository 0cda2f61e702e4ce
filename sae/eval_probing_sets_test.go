package sae

import (
	"reflect"
	"testing"

	"loupe/probe/text"
)

// TestGeneratedProbeSets: every set has both classes in equal numbers in training and test and no text twice, and a seed gives
// the same sets again.
func TestGeneratedProbeSets(t *testing.T) {
	suite, err := text.NewSuite()
	if err != nil {
		t.Fatal(err)
	}
	const train, test = 14, 6
	sets, err := GeneratedProbeSets(suite, 1, train, test)
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) != len(suite.Concepts()) || len(sets) < 8 {
		t.Fatalf("%d sets for %d concepts", len(sets), len(suite.Concepts()))
	}
	for _, s := range sets {
		cut := int(float64(len(s.Texts)) * s.TrainShare)
		if len(s.Texts) != 2*(train+test) || cut != 2*train {
			t.Errorf("%s: %d texts, %d for training", s.Name, len(s.Texts), cut)
			continue
		}
		if countTrue(s.Positive[:cut]) != train || countTrue(s.Positive[cut:]) != test {
			t.Errorf("%s: %d and %d positives", s.Name, countTrue(s.Positive[:cut]), countTrue(s.Positive[cut:]))
		}
		seen := map[string]bool{}
		for _, x := range s.Texts {
			if seen[x] {
				t.Errorf("%s: %q is there twice", s.Name, x)
			}
			seen[x] = true
		}
	}
	again, err := GeneratedProbeSets(suite, 1, train, test)
	if err != nil || !reflect.DeepEqual(again, sets) {
		t.Errorf("the same seed gives other sets, %v", err)
	}
	if _, err := GeneratedProbeSets(suite, 1, 1_000_000, test); err == nil {
		t.Error("a million pairs of templates were promised")
	}
}
