package probe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"loupe/vectors"
)

// grid has a row for every pair of a word and a template, words alternately of the concept.
func grid(words, templates int) (Target, Key, Key) {
	word, template := Key{Name: "word"}, Key{Name: "template"}
	var positive []bool
	for w := range words {
		for t := range templates {
			word.Values, template.Values = append(word.Values, fmt.Sprint("w", w)), append(template.Values, fmt.Sprint("t", t))
			positive = append(positive, w%2 == 1)
		}
	}
	return NewBinary("concept", positive), word, template
}

// TestHoldOut: held-out words and templates are on no other side, and a split that lets them be is found.
func TestHoldOut(t *testing.T) {
	target, word, template := grid(20, 10)
	s, err := HoldOut(target.Labelled(), []Key{word, template}, 0.3, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Train) != 14*7 || len(s.Test) != 6*3 {
		t.Errorf("%d training and %d test rows, want 98 and 18", len(s.Train), len(s.Test))
	}
	if err := CheckLeaks(s, []Key{word, template}); err != nil {
		t.Error(err)
	}
	byWord, err := HoldOut(target.Labelled(), []Key{word}, 0.3, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(byWord.Train)+len(byWord.Test) != 200 {
		t.Errorf("a split by one key leaves %d rows out", 200-len(byWord.Train)-len(byWord.Test))
	}
	leaks := Leaks(byWord, []Key{word, template})
	if len(leaks) != 10 || leaks[0].Key != "template" || leaks[0].Train != 14 || leaks[0].Test != 6 {
		t.Errorf("leaks %v, want every template with 14 and 6 rows", leaks)
	}
	if err := CheckLeaks(byWord, []Key{template}); err == nil || !strings.Contains(err.Error(), "split by template") {
		t.Errorf("leak check says %v", err)
	}
	again, err := HoldOut(target.Labelled(), []Key{word}, 0.3, 1)
	if err != nil || !slices.Equal(again.Test, byWord.Test) {
		t.Errorf("equal seeds give different splits, %v", err)
	}
}

func TestTextKey(t *testing.T) {
	k := TextKey([]string{"A  cat.", "a cat.", "A dog."})
	if leaks := Leaks(Split{Train: []int{0}, Test: []int{1, 2}}, []Key{k}); len(leaks) != 1 || leaks[0].Value != "a cat." {
		t.Errorf("leaks %v", leaks)
	}
}

// TestFolds: every row is in one fold, groups stay together, classes are level.
func TestFolds(t *testing.T) {
	target, word, _ := grid(20, 10)
	group := word.Numbers()
	folds, err := Folds(target, group, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	seen, of := map[int]int{}, map[int]int{}
	for f, fold := range folds {
		if c := target.Take(fold).Counts(); c[0] != 20 || c[1] != 20 {
			t.Errorf("fold %d has classes %v", f, c)
		}
		for _, r := range fold {
			seen[r]++
			if old, ok := of[group[r]]; ok && old != f {
				t.Errorf("word %d is in folds %d and %d", group[r], old, f)
			}
			of[group[r]] = f
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d rows are in folds", len(seen))
	}
	if _, err := Folds(target, group, 21, 3); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("more folds than groups: %v", err)
	}
}

func TestSplitErrors(t *testing.T) {
	target, word, _ := grid(4, 2)
	for name, run := range map[string]func() error{
		"no key":   func() error { _, err := HoldOut(target.Labelled(), nil, 0.3, 1); return err },
		"share":    func() error { _, err := HoldOut(target.Labelled(), []Key{word}, 1, 1); return err },
		"one word": func() error { _, err := HoldOut([]int{0, 1}, []Key{word}, 0.5, 1); return err },
		"one fold": func() error { _, err := Folds(target, nil, 1, 1); return err },
	} {
		if err := run(); !errors.Is(err, vectors.ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
