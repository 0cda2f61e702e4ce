package sweep

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"loupe/internal/config"
	"loupe/probe"
	"loupe/vectors"
)

// batch is targets that share their units: what is the same for all of them at every site and position.
type batch struct {
	// units are the texts that have a label: places of one document, or of the two sides of a contrast pair.
	units   [][]int
	targets []probe.Target
	group   []int
	types   probe.Key   // of the control task; no values without one
	keys    []probe.Key // that the split is checked by
	split   probe.Split
	seen    probe.Split // of the training units, every type on both sides: for the control task
	words   []string    // texts for the bag of words; nil where the store keeps none
	tokens  [][]int32   // without special ones
	lengths []int
}

// batches makes the targets that the configuration names.
func (s *source) batches(c *Config) ([]*batch, error) {
	label, err := s.label(c.Target.Label)
	if err != nil {
		return nil, err
	}
	var out []*batch
	add := func(docs []int, targets []probe.Target) error {
		b, err := s.batch(c, docs, targets)
		if err != nil {
			return err
		}
		out = append(out, b)
		return nil
	}
	if c.Target.By == "" {
		targets, err := c.Target.over(c.Target.Label, label)
		if err != nil {
			return nil, err
		}
		return out, add(targets[0].Labelled(), targets)
	}
	by, err := s.label(c.Target.By)
	if err != nil {
		return nil, err
	}
	values, err := chosen(c.Target.By, by, c.Target.Values)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		own := slices.Clone(label)
		for i := range own {
			if by[i] != v {
				own[i] = ""
			}
		}
		one := c.Target
		one.Values = nil
		targets, err := one.over(v, own)
		if err != nil {
			return nil, err
		}
		if err := add(targets[0].Labelled(), targets); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// chosen are the classes of a label, or those of them that are asked for.
func chosen(label string, column, asked []string) ([]string, error) {
	all := slices.Compact(slices.Sorted(slices.Values(column)))
	all = slices.DeleteFunc(all, func(v string) bool { return v == "" })
	if len(asked) == 0 {
		return all, nil
	}
	for _, v := range asked {
		if !slices.Contains(all, v) {
			if near, ok := config.Nearest(v, all); ok {
				return nil, fmt.Errorf("probe: no document has %s %q; did you mean %q?", label, v, near)
			}
			return nil, fmt.Errorf("probe: no document has %s %q; there are %v", label, v, all)
		}
	}
	return asked, nil
}

// over makes the targets of one column of labels.
func (c TargetConfig) over(name string, label []string) ([]probe.Target, error) {
	switch {
	case c.Task == string(probe.Regression):
		values := make([]float64, len(label))
		for i, l := range label {
			values[i] = math.NaN()
			if l == "" {
				continue
			}
			v, err := strconv.ParseFloat(l, 64)
			if err != nil {
				return nil, fmt.Errorf("probe: label %s of document place %d is %q, not a number: %w; use task multiclass", c.Label, i, l, vectors.ErrClasses)
			}
			values[i] = v
		}
		return []probe.Target{probe.NewRegression(name, values)}, nil
	case c.Task == string(probe.Multiclass):
		return []probe.Target{probe.NewMulticlass(name, label)}, nil
	case c.Positive == "":
		values, err := chosen(c.Label, label, c.Values)
		if err != nil {
			return nil, err
		}
		var out []probe.Target
		for _, v := range values {
			out = append(out, binary(v, v, label))
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("probe: no document has a label %s: %w", c.Label, vectors.ErrClasses)
		}
		return out, nil
	}
	if _, err := chosen(c.Label, label, []string{c.Positive}); err != nil {
		return nil, err
	}
	return []probe.Target{binary(name, c.Positive, label)}, nil
}

func binary(name, class string, label []string) probe.Target {
	t := probe.NewBinary(name, make([]bool, len(label)))
	for i, l := range label {
		switch l {
		case "":
			t.Class[i] = probe.Unlabelled
		case class:
			t.Class[i] = 1
		}
	}
	return t
}

// batch gathers what belongs to targets over these documents.
func (s *source) batch(c *Config, docs []int, targets []probe.Target) (*batch, error) {
	b := &batch{}
	if c.Method.Name == probe.MethodCCS {
		pairs, err := s.pairs(docs, targets[0], c.Seed)
		if err != nil {
			return nil, err
		}
		b.units = pairs
	} else {
		for _, d := range docs {
			b.units = append(b.units, []int{d})
		}
	}
	firsts := make([]int, len(b.units))
	for i, u := range b.units {
		firsts[i] = u[0]
	}
	for _, t := range targets {
		t = t.Take(firsts)
		if err := t.Check(len(firsts), 2); err != nil {
			return nil, err
		}
		b.targets = append(b.targets, t)
	}
	key := func(name string) (probe.Key, error) {
		k, err := s.key(name)
		if err == nil {
			k.Values = pick(k.Values, firsts)
		}
		return k, err
	}
	g, err := key(s.groupKey(c.Group))
	if err != nil {
		return nil, err
	}
	b.group = g.Numbers()
	if err := s.split(c, b, firsts, key); err != nil {
		return nil, fmt.Errorf("%w (targets of %s)", err, targets[0].Name)
	}
	types := c.Controls.Types
	if types == "auto" {
		if types = ""; s.has("entry") {
			types = "entry"
		}
	}
	if types != "" && c.Target.Task != string(probe.Regression) && c.Method.Name != probe.MethodCCS {
		if b.types, err = key(types); err != nil {
			return nil, err
		}
		b.seen = seenSplit(b.types, b.split.Train, c.Seed)
	}
	return b, s.content(b)
}

// groupKey is the key that the configuration's group stands for.
func (s *source) groupKey(name string) string {
	switch {
	case name != "auto":
		return name
	case s.has("concept", "pair", "positive", "entry"):
		return "pair_word"
	}
	return "doc"
}

// content fills words, tokens and lengths.
func (s *source) content(b *batch) error {
	b.words = make([]string, len(b.units))
	b.tokens, b.lengths = make([][]int32, len(b.units)), make([]int, len(b.units))
	for i, unit := range b.units {
		for _, d := range unit {
			text, _, err := s.docs.Text(d)
			if err != nil {
				return err
			}
			if text == "" {
				b.words = nil
			}
			if b.words != nil {
				b.words[i] += text + "\n"
			}
			for _, r := range s.rows[d] {
				if !s.special[r] {
					b.tokens[i] = append(b.tokens[i], s.token[r])
				}
			}
		}
		b.lengths[i] = len(b.tokens[i])
	}
	return nil
}

// split divides the units and checks for leaks.
func (s *source) split(c *Config, b *batch, firsts []int, key func(string) (probe.Key, error)) error {
	rows := b.targets[0].Labelled()
	if c.Split.From == "store" {
		for _, r := range rows {
			switch s.docs.Split[firsts[r]] {
			case c.Split.Train:
				b.split.Train = append(b.split.Train, r)
			case c.Split.Test:
				b.split.Test = append(b.split.Test, r)
			}
		}
		if len(b.split.Train) == 0 || len(b.split.Test) == 0 {
			have := slices.Compact(slices.Sorted(slices.Values(s.docs.Split)))
			return fmt.Errorf("probe: %d documents are of split %q and %d of %q; the store's splits are %q. Set split.train and split.test, or split.from to keys",
				len(b.split.Train), c.Split.Train, len(b.split.Test), c.Split.Test, have)
		}
	} else {
		var keys []probe.Key
		for _, name := range c.Split.Keys {
			k, err := key(name)
			if err != nil {
				return err
			}
			keys = append(keys, k)
		}
		var err error
		if b.split, err = probe.HoldOut(rows, keys, c.Split.HeldOut, c.Seed); err != nil {
			return err
		}
	}
	for _, name := range c.Split.Check {
		k, err := key(name)
		if err != nil {
			return err
		}
		b.keys = append(b.keys, k)
	}
	return probe.CheckLeaks(b.split, b.keys)
}

// seenSplit holds out about 30 % of the rows of every type that has two or more, so that test types are all seen.
func seenSplit(types probe.Key, rows []int, seed uint64) probe.Split {
	rng := rand.New(rand.NewPCG(seed, 0x7365656e)) // "seen"
	of := map[string][]int{}
	var order []string
	for _, r := range rows {
		v := types.Values[r]
		if of[v] == nil {
			order = append(order, v)
		}
		of[v] = append(of[v], r)
	}
	var s probe.Split
	for _, v := range order {
		list := of[v]
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		held := 0
		if len(list) > 1 {
			held = max(int(0.3*float64(len(list))+0.5), 1)
		}
		s.Test, s.Train = append(s.Test, list[:held]...), append(s.Train, list[held:]...)
	}
	slices.Sort(s.Train)
	slices.Sort(s.Test)
	return s
}

// pairs joins documents of one class of the label pair (and split) into units whose first side is drawn by seed, so that
// the class of the first side is not the same for all.
func (s *source) pairs(docs []int, t probe.Target, seed uint64) ([][]int, error) {
	pair, err := s.label("pair")
	if err != nil {
		return nil, fmt.Errorf("%w; contrast-consistent search needs pairs", err)
	}
	rng := rand.New(rand.NewPCG(seed, 0x70616972)) // "pair"
	place := map[string]int{}
	var out [][]int
	for _, d := range docs {
		k := s.docs.Split[d] + "/" + pair[d]
		at, ok := place[k]
		if !ok {
			at = len(out)
			place[k], out = at, append(out, nil)
		}
		out[at] = append(out[at], d)
	}
	for _, u := range out {
		if len(u) != 2 || t.Class[u[0]] == t.Class[u[1]] {
			return nil, fmt.Errorf("probe: pair %s of %s does not have one text of each class: %w; contrast-consistent search needs both sides", pair[u[0]], t.Name, vectors.ErrClasses)
		}
		if rng.IntN(2) == 1 {
			u[0], u[1] = u[1], u[0]
		}
	}
	return out, nil
}

func pick[T any](from []T, index []int) []T {
	out := make([]T, len(index))
	for i, at := range index {
		out[i] = from[at]
	}
	return out
}
