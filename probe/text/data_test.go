package text

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var wordRE = regexp.MustCompile(`[\p{L}\p{N}]+`)

// TestArticles lists every word whose article is not the one of its first letter, and every word that starts with a
// letter whose sound varies: a new one must be read by a person and entered here.
func TestArticles(t *testing.T) {
	stated := []string{"a eucalyptus", "a euro", "a ukulele", "a uniform", "a URL", "a useless", "an heir", "an X-ray"}
	varies := []string{ // u, eu, h, one: by ear, first letter is right
		"an umbrella", "an ulcer", "an umpire", "an uncle", "an ultramarine", "an ugly", "an unusual",
	}
	var odd, sounded []string
	s := suite(t)
	for _, c := range s.categories {
		for _, w := range c.words {
			if !w.count && !w.adjective {
				continue
			}
			if !slices.ContainsFunc(s.frames(c), func(t template) bool { return t.slot == slotArticle }) {
				continue
			}
			phrase := w.article + " " + w.base
			switch lower := strings.ToLower(w.base); {
			case w.article != article(w.base):
				odd = append(odd, phrase)
			case strings.HasPrefix(lower, "u") || strings.HasPrefix(lower, "eu") || strings.HasPrefix(lower, "one") || strings.HasPrefix(lower, "ho") && strings.Contains(lower, "hono"):
				sounded = append(sounded, phrase)
			}
		}
	}
	for _, c := range []struct {
		what      string
		got, want []string
	}{{"stated articles", odd, stated}, {"articles to check by ear", sounded, varies}} {
		slices.Sort(c.got)
		slices.Sort(c.want)
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
}

// TestPlurals checks the regular plurals by the rules of English spelling; irregular ones are listed.
func TestPlurals(t *testing.T) {
	irregular := []string{
		"wolf/wolves", "sheep/sheep", "deer/deer", "moose/moose", "grandchild/grandchildren", "godchild/godchildren", "foster child/foster children",
		"wife/wives", "scarf/scarves", "shelf/shelves", "diagnosis/diagnoses", "shower/showers",
		"tomato/tomatoes", "potato/potatoes", "tornado/tornadoes", // -es after o; otherwise -s
	}
	sibilant := regexp.MustCompile(`(s|x|z|ch|sh)$`)
	yAfterConsonant := regexp.MustCompile(`[^aeiou]y$`)
	for _, c := range suite(t).categories {
		for _, w := range c.words {
			if !w.count || slices.Contains(irregular, w.base+"/"+w.plural) {
				continue
			}
			want := w.base + "s"
			switch {
			case sibilant.MatchString(w.base):
				want = w.base + "es"
			case yAfterConsonant.MatchString(w.base):
				want = strings.TrimSuffix(w.base, "y") + "ies"
			}
			if w.plural != want {
				t.Errorf("%s: plural of %q is %q, want %q", c.name, w.base, w.plural, want)
			}
		}
	}
}

// TestWordsAreApart checks that two entries of categories that share a frame have no content word in common, so that a
// held-out word is new in all its parts. Phrases of closed-class words cannot be apart.
func TestWordsAreApart(t *testing.T) {
	phrases := []string{"noun", "thing", "count", "person"} // frames of lexical words
	small := []string{"a", "the", "of", "in", "on", "up", "with", "to", "for", "at", "under", "an"}
	s := suite(t)
	for _, frame := range phrases {
		owner := map[string]string{}
		for _, c := range s.categories {
			if !slices.Contains(c.frames, frame) {
				continue
			}
			for _, w := range c.words {
				for _, tok := range wordRE.FindAllString(strings.ToLower(w.base), -1) {
					if slices.Contains(small, tok) || frame == "count" && len(tok) < 4 {
						continue
					}
					if old, ok := owner[tok]; ok && old != w.base {
						t.Errorf("%s: %q of %s shares %q with %q", frame, w.base, c.name, tok, old)
					}
					owner[tok] = w.base
				}
			}
		}
	}
}

// TestTemplates checks the form of the templates, and that they hold no word of their own frame's concepts.
func TestTemplates(t *testing.T) {
	s := suite(t)
	for frame, list := range s.templates {
		words := map[string]string{}
		for _, c := range s.categories {
			if slices.Contains(c.frames, frame) && c.concept {
				for _, w := range c.words {
					words[strings.ToLower(w.base)] = c.name
					words[strings.ToLower(w.plural)] = c.name
				}
			}
		}
		for _, tpl := range list {
			if !strings.HasSuffix(tpl.text, ".") && !strings.HasSuffix(tpl.text, markSlot) {
				t.Errorf("%s: %q does not end in a full stop or {mark}", frame, tpl.text)
			}
			if strings.Contains(tpl.text, "  ") || tpl.before != "" && strings.ToUpper(tpl.text[:1]) != tpl.text[:1] {
				t.Errorf("%s: %q has a double space or a small first letter", frame, tpl.text)
			}
			for _, tok := range wordRE.FindAllString(strings.ToLower(tpl.before+" "+tpl.after), -1) {
				if c := words[tok]; c != "" {
					t.Errorf("%s: %q holds %q, a word of %s", frame, tpl.text, tok, c)
				}
			}
		}
	}
}

func TestNeutral(t *testing.T) {
	concept := map[string]string{}
	for _, c := range suite(t).categories {
		if c.concept && !slices.Contains(c.frames, "auxiliary") && !slices.Contains(c.frames, "clause") && !slices.Contains(c.frames, "request") {
			for _, w := range c.words {
				concept[strings.ToLower(w.base)] = c.name
				concept[strings.ToLower(w.plural)] = c.name
			}
		}
	}
	list, err := Neutral(3, 2000)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s] {
			t.Errorf("%q occurs twice", s)
		}
		seen[s] = true
		for _, tok := range wordRE.FindAllString(strings.ToLower(s), -1) {
			if c := concept[tok]; c != "" {
				t.Errorf("%q holds %q, a word of %s", s, tok, c)
			}
		}
	}
	if again, _ := Neutral(3, 2000); !slices.Equal(list, again) {
		t.Error("the same seed gave other sentences")
	}
	if other, _ := Neutral(4, 2000); slices.Equal(list, other) {
		t.Error("another seed gave the same sentences")
	}
	if _, err := Neutral(0, 1<<40); err == nil {
		t.Error("more sentences than there are were given")
	}
}
