package text

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// splitting says for each word key and each template in which split it is.
type splitting struct{ words, templates map[string]string }

// split holds out the given share, at least one of two, of the words of each form (with or without plural, either mark)
// of each category, and of the templates of each kind of slot of each frame: those with the smallest hashes. A key that
// two categories have keeps the split that it gets first.
func (s *Suite) split(seed int64, share float64) splitting {
	out := splitting{words: map[string]string{}, templates: map[string]string{}}
	assign := func(to map[string]string, names []string) {
		names = slices.DeleteFunc(names, func(n string) bool { return to[n] != "" })
		slices.Sort(names)
		maps.Copy(to, holdOut(seed, share, slices.Compact(names)))
	}
	for _, c := range s.categories {
		for _, form := range []word{{mark: "."}, {mark: "?"}, {mark: ".", count: true}, {mark: "?", count: true}} {
			var keys []string
			for _, w := range c.words {
				if w.mark == form.mark && w.count == form.count {
					keys = append(keys, w.key)
				}
			}
			assign(out.words, keys)
		}
	}
	for _, frame := range slices.Sorted(maps.Keys(s.templates)) {
		for _, form := range []slot{slotBare, slotArticle, slotOne, slotAny} {
			var names []string
			for _, t := range s.templates[frame] {
				if t.slot == form {
					names = append(names, t.text)
				}
			}
			assign(out.templates, names)
		}
	}
	return out
}

// generator draws sentences without repetition.
type generator struct {
	suite *Suite
	split splitting
	rng   *rand.Rand
	used  map[string]bool // texts
	out   []Labelled

	anyMark bool // the mark that ends the sentence is part of the current concept: negatives need not have it
}

// pairs appends up to want pairs of one concept and split and returns how many there were. It goes round the
// templates, so that their numbers of pairs differ by one at most while words last.
func (g *generator) pairs(c category, split string, want int) (got int) {
	var templates []template
	var words [][]word // left for each template
	for _, t := range g.suite.frames(c) {
		if g.split.templates[t.text] == split {
			templates = append(templates, t)
			words = append(words, g.words(c, t, split))
		}
	}
	g.rng.Shuffle(len(templates), func(i, j int) {
		templates[i], templates[j] = templates[j], templates[i]
		words[i], words[j] = words[j], words[i]
	})
	others := g.suite.others(c)
	g.anyMark = ownMark(c, others)
	for progress := true; progress; {
		progress = false
		for i, t := range templates {
			for len(words[i]) > 0 && got < want {
				w := words[i][0]
				words[i] = words[i][1:]
				if g.add(c, t, w, others, split) {
					got++
					progress = true
					break
				}
			}
		}
	}
	return got
}

// ownMark tells whether no word of another category ends its sentence with a mark that the concept's words have, as for
// questions.
func ownMark(c category, others []category) bool {
	for _, w := range c.words {
		for _, o := range others {
			if slices.ContainsFunc(o.words, func(v word) bool { return v.mark == w.mark }) {
				return false
			}
		}
	}
	return true
}

// words returns the words of a category that fit the template and are in the split, in random order.
func (g *generator) words(c category, t template, split string) []word {
	var out []word
	for _, w := range c.words {
		if t.fits(w) && g.split.words[w.key] == split {
			out = append(out, w)
		}
	}
	g.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// add appends the pair of a positive word and tells whether it found an unused one.
func (g *generator) add(c category, t template, w word, others []category, split string) bool {
	pos := sentence(t, w, c, split)
	if g.used[pos.Text] {
		return false
	}
	neg, ok := g.negative(t, w, others, split)
	if !ok {
		return false
	}
	pos.Positive = true
	pair := len(g.out) / 2
	for _, l := range []Labelled{pos, neg} {
		l.Concept, l.Pair = c.name, pair
		g.used[l.Text] = true
		g.out = append(g.out, l)
	}
	return true
}

// negative finds an unused sentence of the same template with a word of another category: a word with the same key
// where there is one (walked, walks), else any that reads alike.
func (g *generator) negative(t template, w word, others []category, split string) (Labelled, bool) {
	first := g.rng.IntN(len(others))
	for _, sameKey := range []bool{true, false} {
		for i := range others {
			o := others[(first+i)%len(others)]
			if !slices.Contains(o.frames, t.frame) {
				continue
			}
			start := g.rng.IntN(len(o.words))
			for j := range o.words {
				v := o.words[(start+j)%len(o.words)]
				if sameKey != (v.key == w.key) || g.split.words[v.key] != split || !t.fits(v) || !t.matches(w, v, g.anyMark) {
					continue
				}
				if l := sentence(t, v, o, split); !g.used[l.Text] {
					return l, true
				}
			}
		}
	}
	return Labelled{}, false
}

func sentence(t template, w word, c category, split string) Labelled {
	text, span := t.fill(w)
	return Labelled{
		Text: text, Template: t.text, Word: text[byteOffset(text, span[0]):byteOffset(text, span[1])], Entry: w.key,
		Category: c.name, Span: span, Split: split,
	}
}
