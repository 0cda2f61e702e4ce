package store

import (
	"fmt"
	"strings"
	"sync"
)

// maxClasses bounds the classes of one label for which moments are kept.
const maxClasses = 1024

// classIndex knows the documents that have been written and the classes of each. Documents share few different
// combinations of classes, so each keeps only the number of its combination.
type classIndex struct {
	labels []string
	docs   map[int64]int32

	mu      sync.Mutex // of what follows: the writing goroutine reads while Append adds
	tuples  [][]string
	numbers map[string]int32
	classes []map[string]bool
	limited bool // whether maxClasses applies
}

func newClassIndex(labels []string, limited bool) *classIndex {
	c := &classIndex{labels: labels, docs: map[int64]int32{}, numbers: map[string]int32{}, limited: limited}
	for range labels {
		c.classes = append(c.classes, map[string]bool{})
	}
	return c
}

// add registers a document.
func (c *classIndex) add(d Doc) error {
	if _, ok := c.docs[d.ID]; ok {
		return fmt.Errorf("document %d is there twice", d.ID)
	}
	known := 0
	tuple := make([]string, len(c.labels))
	for i, l := range c.labels {
		if class, ok := d.Labels[l]; ok {
			tuple[i] = class
			known++
		}
	}
	if known != len(d.Labels) {
		return fmt.Errorf("document %d has a label that is not among the store's labels (%s)", d.ID, strings.Join(c.labels, ", "))
	}
	n, err := c.number(tuple)
	if err != nil {
		return fmt.Errorf("document %d: %w", d.ID, err)
	}
	c.docs[d.ID] = n
	return nil
}

func (c *classIndex) number(tuple []string) (int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := fmt.Sprintf("%q", tuple)
	if n, ok := c.numbers[key]; ok {
		return n, nil
	}
	for i, class := range tuple {
		c.classes[i][class] = true
		if c.limited && len(c.classes[i]) > maxClasses {
			return 0, fmt.Errorf("label %s has more than %d classes, too many for moments by class; leave it out of the labels, or switch moments off", c.labels[i], maxClasses)
		}
	}
	n := int32(len(c.tuples))
	c.tuples = append(c.tuples, tuple)
	c.numbers[key] = n
	return n, nil
}

// tuple returns the classes of a combination, in the order of the labels.
func (c *classIndex) tuple(n int32) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tuples[n]
}
