package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// slot is the form in which a template takes a word.
type slot string

const (
	slotBare    slot = "{np}"  // noun phrase without article: plural, or the only form of a word that has one
	slotArticle slot = "{a}"   // indefinite article and singular
	slotOne     slot = "{one}" // singular, after the template's own determiner
	slotAny     slot = "{x}"   // base form of a word of any kind
)

// markSlot is where a template takes the mark that ends the sentence: a question mark or a full stop.
const markSlot = "{mark}"

// template is a sentence with one slot.
type template struct {
	text          string // as written; its name
	frame         string
	slot          slot
	before, after string
}

// parseFrame parses a file of templates: one a line; # starts a comment line.
func parseFrame(frame, body string) ([]template, error) {
	var out []template
	seen := map[string]bool{}
	for i, line := range strings.Split(body, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		t, err := parseTemplate(frame, line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if seen[line] {
			return nil, fmt.Errorf("line %d: the template is there twice; remove one", i+1)
		}
		seen[line] = true
		out = append(out, t)
	}
	return out, nil
}

func parseTemplate(frame, line string) (template, error) {
	found := template{}
	n := 0
	for _, s := range []slot{slotBare, slotArticle, slotOne, slotAny} {
		if k := strings.Count(line, string(s)); k > 0 {
			n += k
			before, after, _ := strings.Cut(line, string(s))
			found = template{text: line, frame: frame, slot: s, before: before, after: after}
		}
	}
	if n != 1 {
		return template{}, fmt.Errorf("%q has %d slots; write exactly one of {np}, {a}, {one}, {x}", line, n)
	}
	if rest := strings.Replace(found.before+found.after, markSlot, "", 1); strings.ContainsAny(rest, "{}") {
		return template{}, fmt.Errorf("%q has an unknown slot; known are {np}, {a}, {one}, {x} and one {mark}", line)
	}
	return found, nil
}

// fits tells whether the template can take the word.
func (t template) fits(w word) bool {
	switch t.slot {
	case slotBare:
		return true
	case slotArticle:
		return w.count || w.adjective
	case slotOne:
		return w.count
	}
	return true
}

// matches tells whether the template reads alike around both words, and the words alike in form: the same article, both
// or neither a plural, and, unless anyMark, the same end.
func (t template) matches(a, b word, anyMark bool) bool {
	switch {
	case t.slot == slotArticle && a.article != b.article:
		return false
	case t.slot == slotBare && a.count != b.count:
		return false
	}
	return anyMark || a.mark == b.mark || !strings.Contains(t.text, markSlot)
}

// fill puts the word in. span is the word's range in code points; an article is outside it.
func (t template) fill(w word) (text string, span [2]int) {
	before, form := t.before, w.base
	switch t.slot {
	case slotBare:
		if w.plural != "" {
			form = w.plural
		}
	case slotArticle:
		before += w.article + " "
	}
	if t.before == "" {
		if before == "" {
			form = capital(form)
		}
		before = capital(before)
	}
	span[0] = utf8.RuneCountInString(before)
	span[1] = span[0] + utf8.RuneCountInString(form)
	return before + form + strings.Replace(t.after, markSlot, w.mark, 1), span
}

// capital makes the first letter upper case.
func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
