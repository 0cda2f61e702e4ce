package demo

import (
	"math/rand/v2"
	"testing"

	"loupe/probe/text"
)

func TestShuffled(t *testing.T) {
	p := &Part{}
	for i := range 40 {
		p.Sentences = append(p.Sentences,
			text.Labelled{Positive: true, Category: "animals", Entry: string(rune('a' + i%7))},
			text.Labelled{Positive: false, Category: "food", Entry: string(rune('a' + i%19))})
	}
	rng := rand.New(rand.NewPCG(6, 6))
	moved := 0
	for range 20 {
		labels := p.shuffled(rng)
		of := map[string]bool{}
		for i, s := range p.Sentences {
			key := s.Category + s.Entry
			if was, ok := of[key]; ok && was != labels[i] {
				t.Fatalf("sentences with %s have different labels", key)
			}
			of[key] = labels[i]
			if labels[i] != s.Positive {
				moved++
			}
		}
		positive := 0
		for _, l := range of {
			if l {
				positive++
			}
		}
		if positive != 7 {
			t.Fatalf("%d of %d words are positive, want 7", positive, len(of))
		}
	}
	if moved == 0 {
		t.Error("no label ever moved")
	}
}

func TestCorpus(t *testing.T) {
	open := func(edit func(*Config)) *corpus {
		cfg := DefaultConfig()
		cfg.Text.Concepts, cfg.Text.TrainPairs, cfg.Text.HeldOutPairs, cfg.Text.MaxDocs = []string{"animals"}, 4, 3, 5
		edit(&cfg)
		c, err := openCorpus(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	digest := func(c *corpus) string {
		d, err := c.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	c := open(func(*Config) {})
	ids, held := map[int64]bool{}, 0
	for d, err := range c.Docs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if ids[d.ID] {
			t.Errorf("document %d comes twice", d.ID)
		}
		ids[d.ID] = true
		if n := int64(len(c.sentences)); d.ID < n && d.Text != c.sentences[d.ID].Text || d.ID >= n && d.Labels["concept"] != "" {
			t.Errorf("document %d is %q", d.ID, d.Text)
		}
		if d.Split == text.HeldOut {
			held++
		}
	}
	if len(ids) != 2*(4+3)+5 || held < 6 {
		t.Errorf("%d documents, %d held out", len(ids), held)
	}
	if digest(c) != digest(open(func(*Config) {})) {
		t.Error("equal corpora have different digests")
	}
	for name, edit := range map[string]func(*Config){
		"seed": func(c *Config) { c.Seed = 2 }, "documents": func(c *Config) { c.Text.MaxDocs = 4 }, "pairs": func(c *Config) { c.Text.TrainPairs = 5 },
	} {
		if digest(c) == digest(open(edit)) {
			t.Errorf("another %s gives the same digest", name)
		}
	}
}
