package topictext

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"loupe/probe/text"
)

// TestGenerate: no phrase is in a text of its topic, held-out words are in no training text, and the seed decides all.
func TestGenerate(t *testing.T) {
	suite, err := text.NewSuite()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Topics: []string{"sport", "music", "law"}, Phrases: 10, Train: 40, HeldOut: 12, Spare: 3}
	d, err := Generate(suite, cfg, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Phrases) != 30 || len(d.Train.Text) != 120 || len(d.HeldOut.Text) != 36 {
		t.Fatalf("%d phrases, %d and %d texts", len(d.Phrases), len(d.Train.Text), len(d.HeldOut.Text))
	}
	for i, p := range d.Phrases {
		word := cfg.Topics[d.Of[i]] + "/" + p
		if slices.Contains(d.Train.Word, word) || slices.Contains(d.HeldOut.Word, word) {
			t.Errorf("phrase %s is in a text", word)
		}
	}
	for i, w := range d.HeldOut.Word {
		if slices.Contains(d.Train.Word, w) {
			t.Errorf("held-out word %s is in a training text", w)
		}
		if topic, _, _ := strings.Cut(w, "/"); topic != cfg.Topics[d.HeldOut.Topic[i]] {
			t.Errorf("word %s in a text on %s", w, cfg.Topics[d.HeldOut.Topic[i]])
		}
	}
	again, err := Generate(suite, cfg, 3)
	if err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("again: %v", err)
	}
	if other, err := Generate(suite, cfg, 4); err != nil || reflect.DeepEqual(other, d) {
		t.Errorf("another seed: %v", err)
	}
	for _, bad := range []Config{{}, {Topics: cfg.Topics}, {Topics: cfg.Topics, Phrases: 1000, Train: 1, HeldOut: 1, Spare: 3}, {Topics: cfg.Topics, Phrases: 1, Train: 1, HeldOut: 5000, Spare: 3}, {Topics: cfg.Topics, Phrases: 1, Train: 1, HeldOut: 1}} {
		if _, err := Generate(suite, bad, 1); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if got := Clusters([]string{"b", "a", "b"}); !slices.Equal(got, []int{1, 0, 1}) {
		t.Error(got)
	}
}
