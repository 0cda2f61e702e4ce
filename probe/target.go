package probe

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"loupe/internal/config"
	"loupe/vectors"
)

// Task is what a probe predicts.
type Task string

// The tasks.
const (
	Binary     Task = "binary"     // a concept: class 1 is the concept
	Multiclass Task = "multiclass" // one of several classes
	Regression Task = "regression" // a number
)

// Unlabelled marks rows that a target says nothing of.
const Unlabelled = -1

// Target is what one probe is to predict of each row.
type Target struct {
	Name string
	Task Task
	// Class is [n]: 0 to k-1, or Unlabelled. Not for regression.
	Class []int
	// Classes names the classes [k]; binary: the negative and the positive one.
	Classes []string
	// Value is [n] for regression, NaN where unlabelled.
	Value []float64
}

// NewBinary makes the target of a concept.
func NewBinary(name string, positive []bool) Target {
	t := Target{Name: name, Task: Binary, Class: make([]int, len(positive)), Classes: []string{"other", name}}
	for i, p := range positive {
		if p {
			t.Class[i] = 1
		}
	}
	return t
}

// NewMulticlass makes the target of a label column; classes are sorted, and empty labels are unlabelled.
func NewMulticlass(name string, labels []string) Target {
	t := Target{Name: name, Task: Multiclass, Class: make([]int, len(labels))}
	place := map[string]int{}
	for _, l := range labels {
		if _, seen := place[l]; !seen && l != "" {
			place[l] = 0
			t.Classes = append(t.Classes, l)
		}
	}
	slices.Sort(t.Classes)
	for i, c := range t.Classes {
		place[c] = i
	}
	for i, l := range labels {
		t.Class[i] = Unlabelled
		if l != "" {
			t.Class[i] = place[l]
		}
	}
	return t
}

// NewRegression makes the target of numbers; NaN is unlabelled.
func NewRegression(name string, values []float64) Target {
	return Target{Name: name, Task: Regression, Value: values}
}

// Len returns the number of rows.
func (t Target) Len() int {
	if t.Task == Regression {
		return len(t.Value)
	}
	return len(t.Class)
}

// K returns the number of classes, 0 for regression.
func (t Target) K() int { return len(t.Classes) }

// Outputs returns the number of scores of a probe: one for a concept or a number, else one a class.
func (t Target) Outputs() int {
	if t.Task == Multiclass {
		return t.K()
	}
	return 1
}

// Labelled returns the rows that have a label.
func (t Target) Labelled() []int {
	var out []int
	for i := range t.Len() {
		if t.has(i) {
			out = append(out, i)
		}
	}
	return out
}

func (t Target) has(i int) bool {
	if t.Task == Regression {
		return !math.IsNaN(t.Value[i])
	}
	return t.Class[i] != Unlabelled
}

// Take returns the target of the rows that index names, in its order.
func (t Target) Take(index []int) Target {
	out := t
	if t.Task == Regression {
		out.Value = pick(t.Value, index)
	} else {
		out.Class = pick(t.Class, index)
	}
	return out
}

func pick[T any](from []T, index []int) []T {
	out := make([]T, len(index))
	for i, at := range index {
		out[i] = from[at]
	}
	return out
}

// Counts returns the number of rows of each class.
func (t Target) Counts() []int {
	counts := make([]int, t.K())
	for _, c := range t.Class {
		if c != Unlabelled {
			counts[c]++
		}
	}
	return counts
}

// Majority is the share of the largest class among the labelled rows.
func (t Target) Majority() float64 {
	total, most := 0, 0
	for _, m := range t.Counts() {
		total, most = total+m, max(most, m)
	}
	return float64(most) / float64(max(total, 1))
}

// Positive tells for each row whether it is of class 1.
func (t Target) Positive() []bool {
	out := make([]bool, len(t.Class))
	for i, c := range t.Class {
		out[i] = c == 1
	}
	return out
}

// Check fails unless the target fits n rows and can be learned: labels in range, least rows of every class, numbers
// that are finite and differ.
func (t Target) Check(n, least int) error {
	if t.Len() != n {
		return fmt.Errorf("probe: target %s has %d labels for %d rows: %w", t.Name, t.Len(), n, vectors.ErrShape)
	}
	switch t.Task {
	case Regression:
		return t.checkValues()
	case Binary, Multiclass:
	default:
		return fmt.Errorf("probe: target %s: task %q: %w; use %s, %s or %s", t.Name, t.Task, vectors.ErrArgument, Binary, Multiclass, Regression)
	}
	if t.K() < 2 || t.Task == Binary && t.K() != 2 {
		return fmt.Errorf("probe: target %s has the classes [%s]: %w; a probe needs two or more, a binary one two", t.Name, strings.Join(t.Classes, ", "), vectors.ErrClasses)
	}
	for i, c := range t.Class {
		if c < Unlabelled || c >= t.K() {
			return fmt.Errorf("probe: target %s: label %d of row %d is not among 0..%d: %w", t.Name, c, i, t.K()-1, vectors.ErrClasses)
		}
	}
	for c, m := range t.Counts() {
		if m < least {
			return fmt.Errorf("probe: target %s: class %q has %d rows and needs %d: %w; add texts of it, or take the class out", t.Name, t.Classes[c], m, least, vectors.ErrClasses)
		}
	}
	return nil
}

func (t Target) checkValues() error {
	first, differ, seen := 0.0, false, 0
	for i, v := range t.Value {
		if math.IsInf(v, 0) {
			return fmt.Errorf("probe: target %s: value %v of row %d: %w", t.Name, v, i, vectors.ErrNotFinite)
		}
		if math.IsNaN(v) {
			continue
		}
		if seen++; seen == 1 {
			first = v
		}
		differ = differ || v != first
	}
	if !differ {
		return fmt.Errorf("probe: target %s: its %d values do not differ: %w; there is nothing to predict", t.Name, seen, vectors.ErrClasses)
	}
	return nil
}

// classNumber finds a class by name.
func classNumber(t Target, name string) (int, error) {
	if i := slices.Index(t.Classes, name); i >= 0 {
		return i, nil
	}
	if near, ok := config.Nearest(name, t.Classes); ok {
		return 0, fmt.Errorf("probe: target %s has no class %q; did you mean %q?", t.Name, name, near)
	}
	return 0, fmt.Errorf("probe: target %s has no class %q; it has %s", t.Name, name, strings.Join(t.Classes, ", "))
}
