package sweep

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"loupe/internal/config"
	"loupe/probe"
	"loupe/probe/store"
)

// source is a store's documents with the place of their rows. A document's place is its index in docs.
type source struct {
	st      *store.Store
	docs    *store.Docs
	example []int64   // row in the example table, -1 without one
	rows    [][]int64 // token rows of a document, in order
	special []bool    // of token rows
	token   []int32
	start   []int32 // code points
	end     []int32
}

func openSource(ctx context.Context, st *store.Store) (*source, error) {
	docs, err := st.Docs()
	if err != nil {
		return nil, err
	}
	s := &source{st: st, docs: docs, example: make([]int64, docs.Len()), rows: make([][]int64, docs.Len())}
	for i := range s.example {
		s.example[i] = -1
	}
	ids, _, err := st.ExampleIDs()
	if err != nil {
		return nil, err
	}
	for row, id := range ids {
		at := docs.Index(id)
		if at < 0 {
			return nil, fmt.Errorf("probe: store %s: example row %d is of document %d, which docs.arrow lacks; run `loupe store verify`", st.Dir(), row, id)
		}
		s.example[at] = int64(row)
	}
	err = st.Scan(ctx, nil, func(c store.Chunk) error {
		for i, id := range c.Doc {
			at := docs.Index(id)
			if at < 0 {
				return fmt.Errorf("probe: store %s: token row %d is of document %d, which docs.arrow lacks; run `loupe store verify`", st.Dir(), c.First+int64(i), id)
			}
			s.rows[at] = append(s.rows[at], c.First+int64(i))
		}
		s.special = append(s.special, c.Special...)
		s.token = append(s.token, c.Token...)
		s.start = append(s.start, c.CharStart...)
		s.end = append(s.end, c.CharEnd...)
		return nil
	})
	return s, err
}

// sites returns the store's sites that the patterns name, in the order of the store.
func (s *source) sites(patterns []string) ([]store.Site, error) {
	var out []store.Site
	all := s.st.Manifest().Sites
	names := make([]string, len(all))
	for i, site := range all {
		names[i] = site.Name
	}
	for _, p := range patterns {
		found := false
		for _, site := range all {
			if ok, err := path.Match(p, site.Name); err != nil {
				return nil, fmt.Errorf("probe: site pattern %q: %w", p, err)
			} else if ok {
				found = true
				if !slices.ContainsFunc(out, func(o store.Site) bool { return o.Name == site.Name }) {
					out = append(out, site)
				}
			}
		}
		if found {
			continue
		}
		if near, ok := config.Nearest(p, names); ok {
			return nil, fmt.Errorf("probe: store %s has no site %q; did you mean %q?", s.st.Dir(), p, near)
		}
		return nil, fmt.Errorf("probe: store %s has no site %q; it has %s", s.st.Dir(), p, strings.Join(names, ", "))
	}
	return out, nil
}

// label returns a label column.
func (s *source) label(name string) ([]string, error) {
	if l, ok := s.docs.Labels[name]; ok {
		return l, nil
	}
	labels := s.st.Manifest().Labels
	if near, ok := config.Nearest(name, labels); ok {
		return nil, fmt.Errorf("probe: store %s has no label %q; did you mean %q?", s.st.Dir(), name, near)
	}
	return nil, fmt.Errorf("probe: store %s has no label %q; it has %s. Name it in capture.labels to keep it", s.st.Dir(), name, strings.Join(labels, ", "))
}

// key returns what groups documents: a label, or group, source, split, text, doc, pair_word.
func (s *source) key(name string) (probe.Key, error) {
	k := probe.Key{Name: name}
	switch name {
	case "group":
		k.Values = s.docs.Group
	case "source":
		k.Values = s.docs.Source
	case "split":
		k.Values = s.docs.Split
	case "doc":
		for _, id := range s.docs.ID {
			k.Values = append(k.Values, strconv.FormatInt(id, 10))
		}
	case "text":
		return s.textKey()
	case "pair_word":
		return s.pairWord()
	default:
		l, err := s.label(name)
		k.Values = l
		return k, err
	}
	return k, nil
}

// textKey groups equal texts, by their digest where the store keeps no text.
func (s *source) textKey() (probe.Key, error) {
	texts := make([]string, s.docs.Len())
	for i := range texts {
		text, digest, err := s.docs.Text(i)
		if err != nil {
			return probe.Key{}, err
		}
		if texts[i] = text; text == "" {
			texts[i] = digest
		}
	}
	return probe.TextKey(texts), nil
}

// pairWord groups the sentences of counterfactual pairs by the concept and the word of the pair's positive: both sides of a
// pair, and pairs of one word, depend on each other.
func (s *source) pairWord() (probe.Key, error) {
	k := probe.Key{Name: "pair_word", Values: make([]string, s.docs.Len())}
	var columns [4][]string
	for i, name := range []string{"concept", "pair", "positive", "entry"} {
		l, err := s.label(name)
		if err != nil {
			return k, fmt.Errorf("%w; the key pair_word needs the labels of generated concept sentences", err)
		}
		columns[i] = l
	}
	concept, pair, positive, entry := columns[0], columns[1], columns[2], columns[3]
	of := func(i int) string { return s.docs.Split[i] + "/" + concept[i] + "/" + pair[i] }
	word := map[string]string{}
	for i := range k.Values {
		if positive[i] == "true" {
			word[of(i)] = entry[i]
		}
	}
	for i := range k.Values {
		if pair[i] != "" {
			k.Values[i] = concept[i] + "/" + word[of(i)]
		}
	}
	return k, nil
}

// has tells whether the store has all of these labels.
func (s *source) has(labels ...string) bool {
	return !slices.ContainsFunc(labels, func(l string) bool { _, ok := s.docs.Labels[l]; return !ok })
}

// name is a document for an error: its source, and its text where it is kept.
func (s *source) name(doc int) string {
	text, _, err := s.docs.Text(doc)
	if err != nil || text == "" {
		return fmt.Sprintf("document %d (%s)", s.docs.ID[doc], s.docs.Source[doc])
	}
	if runes := []rune(text); len(runes) > 60 {
		text = string(runes[:60]) + "…"
	}
	return fmt.Sprintf("document %d (%s) %q", s.docs.ID[doc], s.docs.Source[doc], text)
}
