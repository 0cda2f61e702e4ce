package probe

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/vectors"
)

// Key groups the rows by what they have in common: the word, the template, the source, the text.
type Key struct {
	Name   string
	Values []string // [n]
}

// Numbers returns a number for each row, equal where the values are; an empty value is a group of its own.
func (k Key) Numbers() []int {
	number := map[string]int{}
	out, next := make([]int, len(k.Values)), 0
	for i, v := range k.Values {
		if v == "" {
			out[i], next = next, next+1
			continue
		}
		if _, ok := number[v]; !ok {
			number[v], next = next, next+1
		}
		out[i] = number[v]
	}
	return out
}

// Split is a division of rows: what is in neither part is left out.
type Split struct {
	Train, Test []int
}

// HoldOut splits rows so that no group of any key is on both sides: a share of the groups of each key is held out by seed;
// test rows are of held-out groups in every key, training rows in none, and the rest is left out.
func HoldOut(rows []int, keys []Key, share float64, seed uint64) (Split, error) {
	if !(share > 0 && share < 1) {
		return Split{}, fmt.Errorf("probe: split: the held-out share is %v: %w; it is between 0 and 1", share, vectors.ErrArgument)
	}
	if len(keys) == 0 {
		return Split{}, fmt.Errorf("probe: split: no key: %w; name what must not be on both sides, such as word", vectors.ErrArgument)
	}
	held := make(map[int]int, len(rows)) // row -> keys that hold it out
	for i, k := range keys {
		_, test := splitGroups(pick(k.Numbers(), rows), share, rand.New(rand.NewPCG(seed, uint64(i))))
		for _, at := range test {
			held[rows[at]]++
		}
	}
	var s Split
	for _, r := range rows {
		switch held[r] {
		case 0:
			s.Train = append(s.Train, r)
		case len(keys):
			s.Test = append(s.Test, r)
		}
	}
	if len(s.Train) == 0 || len(s.Test) == 0 {
		return Split{}, fmt.Errorf("probe: split by %s: %d training and %d test rows of %d: %w; give more groups, or another share than %v",
			keyNames(keys), len(s.Train), len(s.Test), len(rows), vectors.ErrArgument, share)
	}
	return s, nil
}

func keyNames(keys []Key) string {
	out := ""
	for i, k := range keys {
		if i > 0 {
			out += " and "
		}
		out += k.Name
	}
	return out
}

// splitGroups draws whole groups until the held-out side has about its share of the rows, and returns the places in group.
// A group stays in training where it would overshoot by more than half of itself, and the last one always.
func splitGroups(group []int, share float64, rng *rand.Rand) (train, held []int) {
	members := gathered(group)
	want := max(int(share*float64(len(group))+0.5), 1)
	order := rng.Perm(len(members))
	for i, g := range order {
		m := members[g]
		last := i == len(order)-1 && len(train) == 0
		if !last && len(held) < want && (len(held) == 0 || len(held)+len(m)/2 <= want) {
			held = append(held, m...)
		} else {
			train = append(train, m...)
		}
	}
	slices.Sort(train)
	slices.Sort(held)
	return train, held
}

// gathered lists the places of each group, groups in the order of their first place.
func gathered(group []int) [][]int {
	place := map[int]int{}
	var out [][]int
	for i, g := range group {
		at, ok := place[g]
		if !ok {
			at = len(out)
			place[g], out = at, append(out, nil)
		}
		out[at] = append(out[at], i)
	}
	return out
}

// Folds shares the labelled rows of a target out to k test parts that differ little in size and classes; rows of one group
// stay together. group is [n], nil for rows on their own.
func Folds(t Target, group []int, k int, seed uint64) ([][]int, error) {
	rows := t.Labelled()
	members := gathered(pick(orEach(group, t.Len()), rows))
	if k < 2 || k > len(members) {
		return nil, fmt.Errorf("probe: %d folds of target %s, which has %d groups: %w; use 2 to that many", k, t.Name, len(members), vectors.ErrArgument)
	}
	rng := rand.New(rand.NewPCG(seed, 0x666f6c64)) // "fold"
	rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	slices.SortStableFunc(members, func(a, b []int) int { return cmp.Compare(len(b), len(a)) })
	classes := max(t.K(), 1)
	folds, counts := make([][]int, k), make([][]float64, k)
	for f := range counts {
		counts[f] = make([]float64, classes)
	}
	for _, m := range members {
		// to the fold that has fewest of the group's classes, then fewest rows
		best, least := 0, [2]float64{}
		for f := range folds {
			have := [2]float64{0, float64(len(folds[f]))}
			for _, i := range m {
				have[0] += counts[f][classOf(t, rows[i])]
			}
			if f == 0 || have[0] < least[0] || have[0] == least[0] && have[1] < least[1] {
				best, least = f, have
			}
		}
		for _, i := range m {
			folds[best] = append(folds[best], rows[i])
			counts[best][classOf(t, rows[i])]++
		}
	}
	for _, f := range folds {
		slices.Sort(f)
	}
	return folds, nil
}

func classOf(t Target, row int) int {
	if t.Task == Regression {
		return 0
	}
	return t.Class[row]
}

// without returns the rows that are not among the sorted others.
func without(rows, others []int) []int {
	var out []int
	for _, r := range rows {
		if _, found := slices.BinarySearch(others, r); !found {
			out = append(out, r)
		}
	}
	return out
}
