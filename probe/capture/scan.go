package capture

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"loupe/internal/config"
	"loupe/probe/text"
)

// scan is what one pass over the corpus's text tells before anything is computed.
type scan struct {
	docs   int64
	chars  int64    // code points, of each document at most charsPerToken*max_length
	labels []string // that are kept
	wide   []string // labels that are not kept because they have too many classes
	digest string
}

// maxClasses is the most classes of a label that is kept unasked: more are names rather than classes.
const maxClasses = 1024

// charsPerToken bounds the text of a document that counts in estimates: tokens beyond max_length are cut off, or rare.
const charsPerToken = 8

// scanCorpus reads the corpus once. A resumed capture thereby knows that the text is the same.
func scanCorpus(ctx context.Context, corpus text.Corpus, cfg *Config, maxLength int) (scan, error) {
	var s scan
	seed := maphash.MakeSeed()
	classes := map[string]map[uint64]bool{} // hashes, at most maxClasses+1 of each label
	for d, err := range corpus.Docs(ctx) {
		if err != nil {
			return s, fmt.Errorf("capture: %w", err)
		}
		s.docs++
		s.chars += cappedChars(d.Text, cfg, maxLength)
		for label, class := range d.Labels {
			if classes[label] == nil {
				classes[label] = map[uint64]bool{}
			}
			if len(classes[label]) <= maxClasses {
				classes[label][maphash.String(seed, class)] = true
			}
		}
	}
	known := slices.Sorted(maps.Keys(classes))
	if len(cfg.Labels) > 0 {
		for _, l := range cfg.Labels {
			if classes[l] == nil {
				return s, unknownLabel(l, known)
			}
		}
		s.labels = slices.Clone(cfg.Labels)
	} else {
		for _, l := range known {
			if len(classes[l]) > maxClasses {
				s.wide = append(s.wide, l)
			} else {
				s.labels = append(s.labels, l)
			}
		}
	}
	var err error
	if s.digest, err = corpus.Digest(); err != nil {
		return s, fmt.Errorf("capture: %w", err)
	}
	return s, nil
}

func unknownLabel(name string, known []string) error {
	if near, ok := config.Nearest(name, known); ok {
		return fmt.Errorf("capture: labels: no document has the label %q; did you mean %q?", name, near)
	}
	if len(known) == 0 {
		return fmt.Errorf("capture: labels: no document has the label %q, nor any other; leave labels out, or name label_fields of the corpus", name)
	}
	return fmt.Errorf("capture: labels: no document has the label %q; known: %s", name, strings.Join(known, ", "))
}

// cappedChars is the number of a document's code points that estimates count.
func cappedChars(s string, cfg *Config, maxLength int) int64 {
	n := int64(utf8.RuneCountInString(s))
	if cfg.Overflow == Truncate {
		n = min(n, int64(charsPerToken*maxLength))
	}
	return n
}
