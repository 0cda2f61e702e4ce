package text

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"loupe/internal/config"
)

// How a word of a sentence stands to the concept that the sentence is for.
const (
	RelationSelf      = "self"      // a word of the concept
	RelationNeighbour = "neighbour" // of another concept of the same super-category
	RelationDistant   = "distant"   // of another super-category
)

// Hierarchy are concepts in super-categories, such as bird and fish in animal: what is meant to be removed, what lies next to
// it, and what lies far from it.
type Hierarchy struct {
	leaves    []leaf
	templates []template
}

// leaf is a concept of a hierarchy.
type leaf struct {
	super, name string
	words       []word
}

// Related is a sentence for a concept of a hierarchy. Category is the concept that its word belongs to.
type Related struct {
	Labelled
	Super    string // super-category of the word
	Relation string // of the word to the concept
}

// NewHierarchy returns the hierarchy that comes with loupe: twelve concepts in animal, plant and artefact.
func NewHierarchy() (*Hierarchy, error) {
	suite, err := NewSuite()
	if err != nil {
		return nil, err
	}
	body, err := data.ReadFile("data/hierarchy.txt")
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	h, err := parseHierarchy(string(body))
	if err != nil {
		return nil, err
	}
	h.templates = suite.templates["noun"]
	return h, nil
}

// parseHierarchy parses `SUPER > CATEGORY` lines with the words that follow them.
func parseHierarchy(body string) (*Hierarchy, error) {
	h := &Hierarchy{}
	seen := map[string]bool{}
	for i, line := range strings.Split(body, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if super, name, ok := strings.Cut(line, ">"); ok {
			h.leaves = append(h.leaves, leaf{super: strings.TrimSpace(super), name: strings.TrimSpace(name)})
			continue
		}
		if len(h.leaves) == 0 {
			return nil, fmt.Errorf("text: hierarchy: line %d: words before the first `SUPER > CATEGORY`", i+1)
		}
		own := &h.leaves[len(h.leaves)-1]
		for _, s := range strings.Split(line, ";") {
			w := parseWord(strings.TrimSpace(s))
			if w.base == "" || seen[w.base] {
				return nil, fmt.Errorf("text: hierarchy: line %d: %q is no word, or is there twice", i+1, s)
			}
			seen[w.base] = true
			own.words = append(own.words, w)
		}
	}
	for i, l := range h.leaves {
		neighbours, distant := 0, 0
		for _, o := range h.leaves {
			if o.super == l.super {
				neighbours++
			} else {
				distant++
			}
		}
		if l.super == "" || l.name == "" || len(l.words) < 4 || neighbours < 2 || distant == 0 || slices.ContainsFunc(h.leaves[:i], func(o leaf) bool { return o.name == l.name }) {
			return nil, fmt.Errorf("text: hierarchy: %q in %q needs a name of its own, four words, a neighbour in its super-category and another super-category", l.name, l.super)
		}
	}
	return h, nil
}

// Concepts lists the concepts in the order of the file.
func (h *Hierarchy) Concepts() []string {
	var out []string
	for _, l := range h.leaves {
		out = append(out, l.name)
	}
	return out
}

// Super is the super-category of a concept.
func (h *Hierarchy) Super(concept string) (string, error) {
	l, err := h.leaf(concept)
	return l.super, err
}

// Words lists the base forms of a concept's words.
func (h *Hierarchy) Words(concept string) ([]string, error) {
	l, err := h.leaf(concept)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range l.words {
		out = append(out, w.base)
	}
	return out, nil
}

func (h *Hierarchy) leaf(name string) (leaf, error) {
	for _, l := range h.leaves {
		if l.name == name {
			return l, nil
		}
	}
	if near, ok := config.Nearest(name, h.Concepts()); ok {
		return leaf{}, fmt.Errorf("text: concept %q is not in the hierarchy; did you mean %q?", name, near)
	}
	return leaf{}, fmt.Errorf("text: concept %q is not in the hierarchy; use one of %s", name, strings.Join(h.Concepts(), ", "))
}

// Generate returns pairs for each concept as Suite.Generate does: a sentence with a word of the concept, and the same template
// with a word of a neighbour (even pairs) or of another super-category (odd pairs). Held-out sentences have held-out words
// and held-out templates; no text comes twice.
func (h *Hierarchy) Generate(cfg GenerateConfig) ([]Related, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	names := cfg.Concepts
	if len(names) == 0 {
		names = h.Concepts()
	}
	words, templates := map[string]string{}, holdOut(cfg.Seed, cfg.HeldOutShare, h.templateNames())
	for _, l := range h.leaves {
		var keys []string
		for _, w := range l.words {
			keys = append(keys, w.key)
		}
		for k, v := range holdOut(cfg.Seed, cfg.HeldOutShare, keys) {
			words[k] = v
		}
	}
	var out []Related
	used := map[string]bool{}
	for _, name := range names {
		l, err := h.leaf(name)
		if err != nil {
			return nil, err
		}
		for _, part := range []struct {
			split string
			want  int
		}{{Train, cfg.Train}, {HeldOut, cfg.HeldOut}} {
			g := related{h: h, leaf: l, split: part.split, words: words, used: used, rng: rand.New(rand.NewPCG(uint64(cfg.Seed), seededHash(cfg.Seed, "hierarchy", part.split+name)))}
			for _, t := range h.templates {
				if templates[t.text] == part.split {
					g.templates = append(g.templates, t)
				}
			}
			got := g.pairs(part.want, len(out)/2)
			if len(got) < 2*part.want {
				return nil, fmt.Errorf("text: concept %s of the hierarchy: %d %s pairs asked for, but its words and templates give only %d; ask for fewer, or change held_out_share (%v)",
					name, part.want, part.split, len(got)/2, cfg.HeldOutShare)
			}
			out = append(out, got...)
		}
	}
	return out, nil
}

func (h *Hierarchy) templateNames() []string {
	var out []string
	for _, t := range h.templates {
		out = append(out, t.text)
	}
	return out
}

// holdOut holds out a share of names, at least one of two: those with the smallest hashes.
func holdOut(seed int64, share float64, names []string) map[string]string {
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b string) int {
		x, y := seededHash(seed, "hold out", a), seededHash(seed, "hold out", b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return strings.Compare(a, b)
	})
	n := min(max(int(share*float64(len(names))+0.5), 1), len(names)-1)
	out := map[string]string{}
	for i, name := range names {
		out[name] = Train
		if i < n {
			out[name] = HeldOut
		}
	}
	return out
}

// related draws the pairs of one concept and split.
type related struct {
	h         *Hierarchy
	leaf      leaf
	split     string
	words     map[string]string // split of each word
	templates []template
	used      map[string]bool
	rng       *rand.Rand
}

// pairs returns up to want pairs, templates in turn.
func (g *related) pairs(want, first int) []Related {
	g.rng.Shuffle(len(g.templates), func(i, j int) { g.templates[i], g.templates[j] = g.templates[j], g.templates[i] })
	var out []Related
	for round := 0; len(out) < 2*want; round++ {
		before := len(out)
		for _, t := range g.templates {
			if len(out) == 2*want {
				break
			}
			relation := RelationNeighbour
			if len(out)/2%2 == 1 {
				relation = RelationDistant
			}
			if pair, ok := g.pair(t, relation); ok {
				for _, r := range pair {
					g.used[r.Text] = true
					r.Pair = first + len(out)/2
					out = append(out, r)
				}
			}
		}
		if len(out) == before {
			break
		}
	}
	return out
}

// pair finds an unused positive and an unused negative of a template.
func (g *related) pair(t template, relation string) ([]Related, bool) {
	for _, w := range g.shuffled(g.leaf.words) {
		pos, ok := g.sentence(t, w, g.leaf, RelationSelf)
		if !ok {
			continue
		}
		for _, i := range g.rng.Perm(len(g.h.leaves)) {
			o := g.h.leaves[i]
			if o.name == g.leaf.name || (o.super == g.leaf.super) != (relation == RelationNeighbour) {
				continue
			}
			for _, v := range g.shuffled(o.words) {
				if !t.matches(w, v, false) {
					continue
				}
				if neg, ok := g.sentence(t, v, o, relation); ok {
					return []Related{pos, neg}, true
				}
			}
		}
	}
	return nil, false
}

func (g *related) shuffled(words []word) []word {
	out := slices.Clone(words)
	g.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// sentence fills a template with a word of the split; ok is false where the word does not fit or the text was used.
func (g *related) sentence(t template, w word, of leaf, relation string) (Related, bool) {
	if g.words[w.key] != g.split || !t.fits(w) {
		return Related{}, false
	}
	l := sentence(t, w, category{name: of.name}, g.split)
	l.Concept, l.Positive = g.leaf.name, relation == RelationSelf
	return Related{Labelled: l, Super: of.super, Relation: relation}, !g.used[l.Text]
}

// Questions asks of what kind the words are: the right concept and choices-1 others, a neighbour first.
func (h *Hierarchy) Questions(choices int, seed int64) ([]Question, error) {
	if choices < 2 || choices > len(h.leaves) {
		return nil, fmt.Errorf("text: questions with %d choices; use 2 to %d", choices, len(h.leaves))
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6b696e64)) // "kind"
	var out []Question
	for _, l := range h.leaves {
		for _, w := range l.words {
			q := Question{Prompt: capital(w.article) + " " + w.base + " is a kind of", Choices: []string{l.name}}
			for _, near := range []bool{true, false} {
				for _, i := range rng.Perm(len(h.leaves)) {
					o := h.leaves[i]
					if o.name != l.name && (o.super == l.super) == near && len(q.Choices) < choices && (!near || len(q.Choices) < 2) {
						q.Choices = append(q.Choices, o.name)
					}
				}
			}
			q.shuffle(rng)
			out = append(out, q)
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out, nil
}

// hierarchySource is a corpus of a hierarchy's sentences. Its labels are those of concept sentences, super and relation.
type hierarchySource struct {
	h   *Hierarchy
	cfg GenerateConfig
}

func openHierarchySource(cfg CorpusConfig) (source, error) {
	h, err := NewHierarchy()
	if err != nil {
		return nil, err
	}
	for _, name := range cfg.Concepts {
		if _, err := h.leaf(name); err != nil {
			return nil, err
		}
	}
	return hierarchySource{h, cfg.generate()}, nil
}

func (s hierarchySource) name() string {
	return KindHierarchy + ":seed " + strconv.FormatInt(s.cfg.Seed, 10)
}

func (s hierarchySource) each(_ context.Context, emit emit) error {
	list, err := s.h.Generate(s.cfg)
	if err != nil {
		return err
	}
	for _, r := range list {
		d := r.Doc()
		d.Labels["super"], d.Labels["relation"] = r.Super, r.Relation
		if !emit(d) {
			return nil
		}
	}
	return nil
}
