package text

import (
	"fmt"
	"strings"
)

// word is one entry of a category.
type word struct {
	key       string // what a split keeps together; the base form unless the entry says otherwise
	base      string // singular or only form
	plural    string // of a count noun
	count     bool   // has a singular and a plural
	adjective bool   // may follow an article without being a count noun
	article   string // a or an
	mark      string // . or ?
}

// parseCategory parses a file of words: a header of `key: value` lines (frames, concept, adjectives), a blank line,
// then entries, each ended by a line break or a semicolon; # starts a comment line.
//
// An entry is `fog` (one form), `dog+` (plural dogs), `fox+es`, `wolf/wolves`. `an:hour+` or `a:uniform+` states the
// article where the first letter misleads, `walk=walked` states the key that a split keeps together, and a final
// question mark says that the sentence is a question.
func parseCategory(name, body string) (category, error) {
	c := category{name: name}
	adjectives, inHeader := false, true
	seen := map[string]bool{}
	for i, line := range strings.Split(body, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if line == "" {
			inHeader = inHeader && len(c.frames) == 0
			continue
		}
		if inHeader {
			key, value, _ := strings.Cut(line, ":")
			switch value = strings.TrimSpace(value); {
			case key == "frames" && value != "":
				c.frames = strings.Fields(value)
			case key == "concept" && value == "yes":
				c.concept = true
			case key == "adjectives" && value == "yes":
				adjectives = true
			default:
				return c, fmt.Errorf("line %d: %q is no header; known are `frames: NAME...`, `concept: yes`, `adjectives: yes`, then a blank line", i+1, line)
			}
			continue
		}
		for _, s := range strings.Split(line, ";") {
			if s = strings.TrimSpace(s); s == "" {
				continue
			}
			w := parseWord(s)
			w.adjective = adjectives
			if w.base == "" {
				return c, fmt.Errorf("line %d: %q is no word", i+1, s)
			}
			if seen[w.base] {
				return c, fmt.Errorf("line %d: %q is there twice; remove one", i+1, w.base)
			}
			seen[w.base] = true
			c.words = append(c.words, w)
		}
	}
	if len(c.frames) == 0 || len(c.words) == 0 {
		return c, fmt.Errorf("the header must have `frames: NAME`, and words must follow it after a blank line")
	}
	return c, nil
}

func parseWord(s string) word {
	w := word{mark: "."}
	if base, ok := strings.CutSuffix(s, "?"); ok {
		s, w.mark = base, "?"
	}
	if key, rest, ok := strings.Cut(s, "="); ok {
		w.key, s = key, rest
	}
	for _, article := range []string{"a", "an"} {
		if rest, ok := strings.CutPrefix(s, article+":"); ok {
			w.article, s = article, rest
		}
	}
	if base, end, ok := strings.Cut(s, "+"); ok {
		if end == "" {
			end = "s"
		}
		w.base, w.plural, w.count = base, base+end, true
	} else if base, plural, ok := strings.Cut(s, "/"); ok {
		w.base, w.plural, w.count = base, plural, true
	} else {
		w.base = s
	}
	if w.article == "" {
		w.article = article(w.base)
	}
	if w.key == "" {
		w.key = w.base
	}
	return w
}

// article is the indefinite article by the first letter, which is right unless the entry states another.
func article(s string) string {
	if s != "" && strings.ContainsRune("aeiouAEIOU", rune(s[0])) {
		return "an"
	}
	return "a"
}
