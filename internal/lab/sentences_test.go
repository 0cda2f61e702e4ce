package lab

import (
	"testing"
)

// TestConceptSentences: twins share a group and not a class, and no word, template or group is on both sides of the split.
func TestConceptSentences(t *testing.T) {
	all, err := ConceptSentences([]string{"food", "joy"}, 30, 10, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Concept != "food" || all[1].Concept != "joy" {
		t.Fatalf("%d concepts", len(all))
	}
	for _, s := range all {
		if len(s.Split.Train) != 60 || len(s.Split.Test) != 20 || len(s.Texts) != 80 {
			t.Fatalf("%s: %d training and %d test sentences", s.Concept, len(s.Split.Train), len(s.Split.Test))
		}
		seen := map[any]bool{}
		for _, r := range s.Split.Train {
			seen[s.Group[r]], seen["t"+s.Items[r].Template], seen["w"+s.Items[r].Category+s.Items[r].Entry] = true, true, true
		}
		for _, r := range s.Split.Test {
			if seen[s.Group[r]] || seen["t"+s.Items[r].Template] || seen["w"+s.Items[r].Category+s.Items[r].Entry] {
				t.Errorf("%s: test sentence %q has something of the training sentences", s.Concept, s.Texts[r])
			}
		}
		for r := 0; r < len(s.Items); r += 2 {
			if s.Class[r] != 1 || s.Class[r+1] != 0 || s.Group[r] != s.Group[r+1] {
				t.Errorf("%s: rows %d and %d are no twins", s.Concept, r, r+1)
			}
		}
		if target := s.Target(); target.Name != s.Concept || target.Majority() != 0.5 {
			t.Errorf("%s: target %+v", s.Concept, target.Name)
		}
	}
}
