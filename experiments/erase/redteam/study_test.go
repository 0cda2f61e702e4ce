package redteam

import (
	"strings"
	"testing"

	"loupe/experiments/erase"
	"loupe/experiments/erase/attack"
)

// TestOutcome: prompts of several concepts are counted together; a prompt that was recognised before is no new success, and the example is
// of one that is.
func TestOutcome(t *testing.T) {
	var all []Outcome
	key := Outcome{Erasure: "uce", Attack: "p4d", Mode: attack.ModeStatic}
	for _, r := range []*attack.Result{
		{Before: []bool{true, false}, After: []bool{true, false}, Found: []string{"a", "b"}, Queries: 3, Seconds: 1},
		{Before: []bool{true, false, false}, After: []bool{false, true, false}, Found: []string{"c", "d", "e"}, Queries: 4, Seconds: 2},
	} {
		if err := place(&all, key).add(r); err != nil {
			t.Fatal(err)
		}
	}
	want := key
	want.Before, want.After, want.Itself = erase.Share{Hits: 2, N: 5}, erase.Share{Hits: 3, N: 5}, erase.Share{Hits: 2, N: 5}
	want.Queries, want.Seconds, want.Example = 7, 3, "d"
	if len(all) != 1 || all[0] != want {
		t.Errorf("%+v, expected %+v", all, want)
	}
	key.Mode = attack.ModeAdaptive
	if place(&all, key); len(all) != 2 {
		t.Errorf("%d outcomes of two modes", len(all))
	}
}

// TestConfig: the defaults are valid, and settings go to the attacks.
func TestConfig(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	_, conf, err := Attack{Name: "p4d", Settings: []string{"steps=40", "tokens=5", "vocabulary.pieces=true"}}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	if got := conf.(*attack.P4DConfig); got.Steps != 40 || got.Tokens != 5 || !got.Vocabulary.Pieces || got.LR <= 0 {
		t.Errorf("%+v", got)
	}
	if _, _, err := (Attack{Name: "p4d", Settings: []string{"step=40"}}).resolve(); err == nil || !strings.Contains(err.Error(), "steps") {
		t.Errorf("an unknown setting: %v", err)
	}
}
