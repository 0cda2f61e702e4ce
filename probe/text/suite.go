package text

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"loupe/internal/config"
)

//go:embed data
var data embed.FS

// Suite is a set of concepts: categories of words, and the templates that they fit.
type Suite struct {
	categories []category            // sorted by name
	templates  map[string][]template // by frame, in the order of the file
}

// category is a set of words that fit the same frames. Categories that are no concepts only give negatives.
type category struct {
	name    string
	concept bool
	frames  []string
	words   []word
}

// NewSuite returns the suite that comes with loupe.
func NewSuite() (*Suite, error) {
	sub, err := fs.Sub(data, "data")
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	return OpenSuite(sub)
}

// OpenSuite reads a suite from a folder with words/CATEGORY.txt and frames/FRAME.txt. docs/corpora.md describes the
// files.
func OpenSuite(fsys fs.FS) (*Suite, error) {
	s := &Suite{templates: map[string][]template{}}
	if err := eachFile(fsys, "frames", func(name, body string) error {
		list, err := parseFrame(name, body)
		s.templates[name] = list
		return err
	}); err != nil {
		return nil, err
	}
	if err := eachFile(fsys, "words", func(name, body string) error {
		c, err := parseCategory(name, body)
		s.categories = append(s.categories, c)
		return err
	}); err != nil {
		return nil, err
	}
	return s, s.check()
}

// eachFile calls f with the name, less .txt, and the content of each file of a folder, sorted by name.
func eachFile(fsys fs.FS, dir string, f func(name, body string) error) error {
	names, err := fs.Glob(fsys, dir+"/*.txt")
	if err != nil || len(names) == 0 {
		return fmt.Errorf("text: concept suite: no %s/*.txt; check the folder", dir)
	}
	slices.Sort(names)
	for _, name := range names {
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("text: concept suite: %w", err)
		}
		base := strings.TrimSuffix(strings.TrimPrefix(name, dir+"/"), ".txt")
		if err := f(base, string(body)); err != nil {
			return fmt.Errorf("text: concept suite: %s: %w", name, err)
		}
	}
	return nil
}

// check makes sure that every category's frames exist and hold templates, that every concept has negatives, and that
// no word is of a concept and of another category.
func (s *Suite) check() error {
	concepts := 0
	for _, c := range s.categories {
		for _, frame := range c.frames {
			if len(s.templates[frame]) == 0 {
				return fmt.Errorf("text: concept suite: words/%s.txt: there is no frames/%s.txt with templates; correct the frame", c.name, frame)
			}
		}
		if !c.concept {
			continue
		}
		concepts++
		for _, o := range s.others(c) {
			for _, w := range c.words {
				if i := slices.IndexFunc(o.words, func(v word) bool { return v.base == w.base }); i >= 0 {
					return fmt.Errorf("text: concept suite: %q is in words/%s.txt and in words/%s.txt, which share a frame, so its label is unclear; remove one", w.base, c.name, o.name)
				}
			}
		}
		if len(s.others(c)) == 0 {
			return fmt.Errorf("text: concept suite: words/%s.txt: no other category shares a frame with it, so it has no negatives; add one", c.name)
		}
	}
	if concepts == 0 {
		return fmt.Errorf("text: concept suite: no category is a concept; add the line `concept: yes`")
	}
	return nil
}

// Concepts lists the names of the concepts, sorted.
func (s *Suite) Concepts() []string {
	var out []string
	for _, c := range s.categories {
		if c.concept {
			out = append(out, c.name)
		}
	}
	return out
}

// Words lists the base forms of a concept's words, in the order of its file.
func (s *Suite) Words(concept string) ([]string, error) {
	c, err := s.concept(concept)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range c.words {
		out = append(out, w.base)
	}
	return out, nil
}

// Templates lists the templates that a concept's words fit.
func (s *Suite) Templates(concept string) ([]string, error) {
	c, err := s.concept(concept)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range s.frames(c) {
		if slices.ContainsFunc(c.words, t.fits) {
			out = append(out, t.text)
		}
	}
	return out, nil
}

// concept finds a concept by its name.
func (s *Suite) concept(name string) (category, error) {
	for _, c := range s.categories {
		if c.concept && c.name == name {
			return c, nil
		}
	}
	if near, ok := config.Nearest(name, s.Concepts()); ok {
		return category{}, fmt.Errorf("text: concept %q is unknown; did you mean %q?", name, near)
	}
	return category{}, fmt.Errorf("text: concept %q is unknown; use one of %s", name, strings.Join(s.Concepts(), ", "))
}

// frames returns all templates of a category's frames.
func (s *Suite) frames(c category) []template {
	var out []template
	for _, frame := range c.frames {
		out = append(out, s.templates[frame]...)
	}
	return out
}

// others returns the other categories that share a frame with c.
func (s *Suite) others(c category) []category {
	var out []category
	for _, o := range s.categories {
		if o.name != c.name && slices.ContainsFunc(o.frames, func(f string) bool { return slices.Contains(c.frames, f) }) {
			out = append(out, o)
		}
	}
	return out
}
