package text

import (
	"slices"
	"strings"
	"testing"
)

// TestHierarchy: sentences of a concept stand beside sentences of its neighbours and of other super-categories, in equal
// numbers and in the same templates; held-out words and templates are in no training sentence; equal seeds give equal text.
func TestHierarchy(t *testing.T) {
	h, err := NewHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Concepts(); len(got) != 12 || got[0] != "bird" {
		t.Fatalf("concepts %v", got)
	}
	cfg := GenerateConfig{Seed: 3, Train: 40, HeldOut: 10, HeldOutShare: 0.3}
	list, err := h.Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Generate(cfg)
	if err != nil || !slices.Equal(list, again) {
		t.Fatalf("equal seeds give other text, %v", err)
	}
	if len(list) != 12*2*(40+10) {
		t.Fatalf("%d sentences", len(list))
	}
	texts, words, templates := map[string]bool{}, map[string]string{}, map[string]string{}
	relations := map[string]int{}
	for i, r := range list {
		if texts[r.Text] {
			t.Errorf("%q comes twice", r.Text)
		}
		texts[r.Text] = true
		for what, of := range map[string]map[string]string{r.Entry: words, r.Template: templates} {
			if was, seen := of[what]; seen && was != r.Split {
				t.Fatalf("%q is in %s and in %s", what, was, r.Split)
			}
			of[what] = r.Split
		}
		super, err := h.Super(r.Concept)
		if err != nil {
			t.Fatal(err)
		}
		relations[r.Relation]++
		var want string
		switch {
		case r.Category == r.Concept:
			want = RelationSelf
		case r.Super == super:
			want = RelationNeighbour
		default:
			want = RelationDistant
		}
		if r.Relation != want || r.Positive != (want == RelationSelf) {
			t.Errorf("%q for %s: relation %s, want %s", r.Text, r.Concept, r.Relation, want)
		}
		runes := []rune(r.Text)
		if string(runes[r.Span[0]:r.Span[1]]) != r.Word {
			t.Errorf("span %v of %q is not %q", r.Span, r.Text, r.Word)
		}
		if i%2 == 1 && (list[i-1].Template != r.Template || list[i-1].Pair != r.Pair || !list[i-1].Positive) {
			t.Errorf("sentence %d is not the negative of the one before", i)
		}
	}
	if relations[RelationSelf] != 600 || relations[RelationNeighbour] != 300 || relations[RelationDistant] != 300 {
		t.Errorf("relations %v", relations)
	}
	for _, c := range []struct {
		cfg  GenerateConfig
		says string
	}{
		{GenerateConfig{Concepts: []string{"birds"}, Train: 1, HeldOutShare: 0.3}, `did you mean "bird"?`},
		{GenerateConfig{Concepts: []string{"bird"}, Train: 5000, HeldOutShare: 0.3}, "ask for fewer"},
	} {
		if _, err := h.Generate(c.cfg); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
	for body, says := range map[string]string{
		"a; b": "before the first", "x > y\na; a; b; c": "twice", "x > y\na; b; c; d": "a neighbour", "x > y\na\n": "four words",
	} {
		if _, err := parseHierarchy(body); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", body, err)
		}
	}
	questions, err := h.Questions(4, 1)
	if err != nil {
		t.Fatal(err)
	}
	places := make([]int, 4)
	for _, q := range questions {
		places[q.Answer]++
		word := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(q.Prompt, " is a kind of"), "An "), "A ")
		own, err := h.Words(q.Choices[q.Answer])
		if err != nil || !slices.Contains(own, word) || len(slices.Compact(slices.Sorted(slices.Values(q.Choices)))) != 4 {
			t.Errorf("question %+v, %v", q, err)
		}
	}
	for _, n := range places {
		if n < len(questions)/8 {
			t.Errorf("right answers at places %v", places)
		}
	}
}

// TestEntities: every entity has one value of every relation; statements say it, with the name at its span; a split by template
// holds statements out and leaves every fact stated in training, a split by entity holds whole entities out.
func TestEntities(t *testing.T) {
	cfg := DefaultEntityConfig()
	entities, err := NewEntities(cfg)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]Entity{}
	values := map[string]map[string]int{}
	for _, e := range entities {
		names[e.Name] = e
		for _, r := range Relations() {
			if e.Values[r] == "" {
				t.Fatalf("%s has no %s", e.Name, r)
			}
			if values[r] == nil {
				values[r] = map[string]int{}
			}
			values[r][e.Values[r]]++
		}
	}
	if len(names) != 40 {
		t.Fatalf("%d names", len(names))
	}
	for r, counts := range values {
		for v, n := range counts {
			if n != 4 {
				t.Errorf("%s %s comes %d times of 40, with 10 values", r, v, n)
			}
		}
	}
	for _, by := range []string{"template", "entity"} {
		cfg.SplitBy = by
		facts, err := Facts(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if len(facts) != 40*5*5 {
			t.Fatalf("%d facts", len(facts))
		}
		split, trained := map[string]string{}, map[string]bool{}
		held := 0
		for _, f := range facts {
			if names[f.Entity].Values[f.Relation] != f.Value || !strings.Contains(f.Text, f.Value) || strings.ContainsAny(f.Text, "{}") {
				t.Errorf("fact %+v", f)
			}
			if got := string([]rune(f.Text)[f.Span[0]:f.Span[1]]); got != f.Entity {
				t.Errorf("span of %q is %q", f.Text, got)
			}
			key := f.Template
			if by == "entity" {
				key = f.Entity
			}
			if was, seen := split[key]; seen && was != f.Split {
				t.Errorf("%s is on both sides", key)
			}
			split[key] = f.Split
			if f.Split == Train {
				trained[f.Entity+f.Relation] = true
			} else {
				held++
			}
		}
		if by == "template" && len(trained) != 200 || by == "entity" && len(trained) != 28*5 || held == 0 {
			t.Errorf("split by %s: %d facts in training, %d held-out sentences", by, len(trained), held)
		}
	}
	questions, err := FactQuestions(cfg, 4)
	if err != nil || len(questions) != 200 {
		t.Fatalf("%d questions, %v", len(questions), err)
	}
	for _, q := range questions {
		if len(q.Choices) != 4 || q.Choices[q.Answer] == "" {
			t.Errorf("question %+v", q)
		}
	}
	for _, bad := range []EntityConfig{{Number: 1, HeldOutShare: 0.3, SplitBy: "template"}, {Number: 5, SplitBy: "template"}, {Number: 5, HeldOutShare: 0.3, SplitBy: "word"}} {
		if _, err := Facts(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestHierarchyCorpus: both generators are corpora with their labels.
func TestHierarchyCorpus(t *testing.T) {
	for kind, want := range map[string]struct {
		n      int
		labels []string
	}{
		KindHierarchy: {2 * 2 * 7, []string{"concept", "positive", "super", "relation", "category", "entry", "template", "span_start"}},
		KindEntities:  {6 * 5 * 5, []string{"entity", "relation", "value", "template", "span_end"}},
	} {
		cfg := DefaultCorpusConfig(kind)
		cfg.TrainPairs, cfg.HeldOutPairs, cfg.EntityNumber = 5, 2, 6
		if kind == KindHierarchy {
			cfg.Concepts = []string{"bird", "tool"}
		}
		c, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for d, err := range c.Docs(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			for _, l := range want.labels {
				if d.Labels[l] == "" {
					t.Errorf("%s: %q has no label %s", kind, d.Text, l)
				}
			}
		}
		if n != want.n {
			t.Errorf("%s: %d documents, want %d", kind, n, want.n)
		}
		cfg.HeldOut = 0.1
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "held_out_share") {
			t.Errorf("%s with held_out: %v", kind, err)
		}
	}
}
