package probe

import (
	"fmt"
	"math/rand/v2"

	"loupe/vectors"
)

// ShuffledLabels is the target with its labels permuted at random: what a probe scores on it comes from its freedom alone.
// Where every row of a group has one label, whole groups are permuted (a word keeps one label), else rows. group is
// [n], nil for rows.
func ShuffledLabels(t Target, group []int, seed uint64) Target {
	rows := t.Labelled()
	rng := rand.New(rand.NewPCG(seed, 0x73687566)) // "shuf"
	members := gathered(pick(orEach(group, t.Len()), rows))
	if !uniform(t, rows, members) {
		members = gathered(upTo(len(rows)))
	}
	out := t
	out.Name = t.Name + " (shuffled)"
	out.Class, out.Value = append([]int(nil), t.Class...), append([]float64(nil), t.Value...)
	for g, from := range rng.Perm(len(members)) {
		source := rows[members[from][0]]
		for _, i := range members[g] {
			if t.Task == Regression {
				out.Value[rows[i]] = t.Value[source]
			} else {
				out.Class[rows[i]] = t.Class[source]
			}
		}
	}
	return out
}

// uniform tells whether the rows of each group have one label.
func uniform(t Target, rows []int, members [][]int) bool {
	for _, m := range members {
		for _, i := range m {
			a, b := rows[i], rows[m[0]]
			if t.Task == Regression && t.Value[a] != t.Value[b] || t.Task != Regression && t.Class[a] != t.Class[b] {
				return false
			}
		}
	}
	return true
}

// ControlTask gives every type (word) a class at random, by seed, with the target's class frequencies, and labels each row
// by its type (Hewitt and Liang, arXiv:1909.03368). Only memory of types solves it. The probe's selectivity is its accuracy on
// the target less that on the control task, both on rows whose types the training rows have too. types is [n].
func ControlTask(t Target, types Key, seed uint64) (Target, error) {
	if t.Task == Regression {
		return Target{}, fmt.Errorf("probe: control task of a regression, target %s: %w; it needs classes", t.Name, vectors.ErrArgument)
	}
	if len(types.Values) != t.Len() {
		return Target{}, fmt.Errorf("probe: control task of target %s: %d types for %d rows: %w", t.Name, len(types.Values), t.Len(), vectors.ErrShape)
	}
	rows := t.Labelled()
	members := gathered(pick(types.Numbers(), rows))
	if len(members) < t.K() {
		return Target{}, fmt.Errorf("probe: control task of target %s: %d types by %s for %d classes: %w; take a key with more values", t.Name, len(members), types.Name, t.K(), vectors.ErrArgument)
	}
	out := t
	out.Name = t.Name + " (control task)"
	out.Class = make([]int, t.Len())
	for i := range out.Class {
		out.Class[i] = Unlabelled
	}
	// types in random order, each to the class that lacks most rows against the target's frequencies
	want := t.Counts()
	for _, g := range rand.New(rand.NewPCG(seed, 0x74797065)).Perm(len(members)) { // "type"
		best := 0
		for c, n := range want {
			if n > want[best] {
				best = c
			}
		}
		want[best] -= len(members[g])
		for _, i := range members[g] {
			out.Class[rows[i]] = best
		}
	}
	return out, nil
}
