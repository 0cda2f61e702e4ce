package text

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"loupe/internal/config"
)

// ErasureConcept is a thing to erase from a model, with the words that an eraser's effects are measured on.
type ErasureConcept struct {
	Name         string
	Domain       string   // objects, people, sensitive or styles
	Super        string   // its super-category, an anchor
	Synonyms     []string // other names: erased with it where erasure generalises
	Neighbours   []string // names of like concepts of the domain: to be kept
	Descriptions []string // that use neither its name nor a synonym
	word         word
}

// ErasureDomain is a set of concepts with the templates that their names go into.
type ErasureDomain struct {
	Name      string
	Concepts  []ErasureConcept
	templates [2][]template // train, held-out
}

// ErasureSuite returns the domains that come with loupe, sorted by name: objects, people, sensitive topics in neutral words, and
// styles.
func ErasureSuite() ([]ErasureDomain, error) {
	sub, err := fs.Sub(data, "data")
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	var out []ErasureDomain
	err = eachFile(sub, "erasure", func(name, body string) error {
		d, err := parseErasure(name, body)
		out = append(out, d)
		return err
	})
	return out, err
}

// Concept finds a concept by its name.
func (d ErasureDomain) Concept(name string) (ErasureConcept, error) {
	names := make([]string, len(d.Concepts))
	for i, c := range d.Concepts {
		if names[i] = c.Name; c.Name == name {
			return c, nil
		}
	}
	if near, ok := config.Nearest(name, names); ok {
		return ErasureConcept{}, fmt.Errorf("text: %s: concept %q is unknown; did you mean %q?", d.Name, name, near)
	}
	return ErasureConcept{}, fmt.Errorf("text: %s: concept %q is unknown; use one of %s", d.Name, name, strings.Join(names, ", "))
}

// Prompts puts a concept's name into the domain's templates, either those for fitting or the held-out ones. The span of each is
// the name's range in code points, without an article.
func (d ErasureDomain) Prompts(c ErasureConcept, heldOut bool) []Labelled {
	return d.expand(c.word, heldOut)
}

// Named puts another name, such as a synonym or a super-category, into the same templates.
func (d ErasureDomain) Named(name string, heldOut bool) []Labelled {
	return d.expand(parseWord(name), heldOut)
}

func (d ErasureDomain) expand(w word, heldOut bool) []Labelled {
	split, list := Train, d.templates[0]
	if heldOut {
		split, list = HeldOut, d.templates[1]
	}
	out := make([]Labelled, len(list))
	for i, t := range list {
		sentence, span := t.fill(w)
		out[i] = Labelled{Text: sentence, Concept: w.base, Positive: true, Template: t.text, Word: w.base, Entry: w.key, Category: d.Name, Span: span, Split: split, Pair: i}
	}
	return out
}

// parseErasure parses a file with the sections [templates], [held-out templates] and [concepts]; a concept is a line
// `name | super-category | synonyms | neighbours | descriptions`, the last three as lists divided by semicolons.
func parseErasure(name, body string) (ErasureDomain, error) {
	d := ErasureDomain{Name: name}
	section := ""
	for i, line := range strings.Split(body, "\n") {
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			if section = line; !slices.Contains([]string{"[templates]", "[held-out templates]", "[concepts]"}, line) {
				err = fmt.Errorf("section %s is unknown; use [templates], [held-out templates] and [concepts]", line)
			}
		case section == "[concepts]":
			var c ErasureConcept
			c, err = parseErasureConcept(name, line)
			d.Concepts = append(d.Concepts, c)
		case section == "":
			err = fmt.Errorf("%q stands before the first [section]", line)
		default:
			var t template
			t, err = parseTemplate(name, line)
			k := 0
			if section == "[held-out templates]" {
				k = 1
			}
			d.templates[k] = append(d.templates[k], t)
		}
		if err != nil {
			return d, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return d, d.check()
}

func parseErasureConcept(domain, line string) (ErasureConcept, error) {
	fields := strings.Split(line, "|")
	if len(fields) != 5 {
		return ErasureConcept{}, fmt.Errorf("%d fields between bars; write name | super-category | synonyms | neighbours | descriptions", len(fields))
	}
	list := func(s string) (out []string) {
		for part := range strings.SplitSeq(s, ";") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
		return out
	}
	w := parseWord(strings.TrimSpace(fields[0]))
	w.adjective = true // any name may follow an article
	c := ErasureConcept{
		Name: w.base, Domain: domain, Super: strings.TrimSpace(fields[1]), Synonyms: list(fields[2]), Neighbours: list(fields[3]), Descriptions: list(fields[4]), word: w,
	}
	if c.Name == "" || c.Super == "" || len(c.Synonyms) == 0 || len(c.Neighbours) == 0 || len(c.Descriptions) == 0 {
		return c, fmt.Errorf("concept %q lacks a field; each needs a name, a super-category, synonyms, neighbours and descriptions", c.Name)
	}
	return c, nil
}

// check makes sure that names differ, that neighbours are concepts, and that descriptions do not name the concept.
func (d ErasureDomain) check() error {
	if len(d.Concepts) == 0 || len(d.templates[0]) == 0 || len(d.templates[1]) == 0 {
		return fmt.Errorf("%d concepts, %d templates, %d held-out ones: each is needed", len(d.Concepts), len(d.templates[0]), len(d.templates[1]))
	}
	for _, t := range d.templates[1] {
		if slices.ContainsFunc(d.templates[0], func(o template) bool { return o.text == t.text }) {
			return fmt.Errorf("the template %q is held out and is not; remove one", t.text)
		}
	}
	names := make(map[string]int)
	for _, c := range d.Concepts {
		names[c.Name]++
	}
	for _, c := range d.Concepts {
		if names[c.Name] > 1 {
			return fmt.Errorf("concept %q is there twice; remove one", c.Name)
		}
		for _, n := range c.Neighbours {
			if names[n] == 0 || n == c.Name {
				return fmt.Errorf("concept %q: neighbour %q is no other concept of the file", c.Name, n)
			}
		}
		for _, s := range c.Descriptions {
			for _, n := range append([]string{c.Name}, c.Synonyms...) {
				if strings.Contains(strings.ToLower(s), strings.ToLower(n)) {
					return fmt.Errorf("concept %q: the description %q names it by %q", c.Name, s, n)
				}
			}
		}
	}
	return nil
}
