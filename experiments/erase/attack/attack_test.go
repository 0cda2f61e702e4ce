package attack

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
	"loupe/probe/model"
	"loupe/probe/token"
)

// bench is MiniLM with the suite's objects; the dog is erased.
type bench struct {
	*testing.T
	e    *encoder.Encoder
	task *method.Task
	goal Goal
	kept Goal // another concept
}

func newBench(t *testing.T) *bench {
	t.Helper()
	e := encodertest.MiniLM(t)
	task := get(method.NewTask(method.DefaultTask()))(t)
	erased, kept, err := Goals(t.Context(), e, task, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t, e, task, erased[0], kept[2]}
}

func get[V any](v V, err error) func(t *testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// attack runs an attack with its default settings and returns how many prompts showed the concept before and after it.
func (b *bench) attack(name, mode string, v *encoder.Variant) (before, after int, r *Result) {
	b.Helper()
	a := get(Find(name))(b.T)
	g := b.goal
	g.Mode = mode
	r = get(a.Run(b.Context(), b.e, v, g, a.Config()))(b.T)
	rates := get(r.Rates())(b.T)
	b.Logf("%-18s %-8s %d of %d before, %d after; %4d queries, %.1f s: %q", name, mode, rates.Before.Hits, rates.Before.N, rates.After.Hits, r.Queries, r.Seconds, r.Found[0])
	return rates.Before.Hits, rates.After.Hits, r
}

// renamed is the encoder with the word embedding of "cat" in the place of the one of "dog": the name hides the concept, other words
// still make it.
func (b *bench) renamed() *encoder.Variant {
	b.Helper()
	d := b.e.Width()
	words := get(b.e.Model.Params.Values("W_E"))(b.T)
	dog, cat := b.id("dog"), b.id("cat")
	copy(words[dog*d:(dog+1)*d], words[cat*d:(cat+1)*d])
	p := get(b.e.Model.Params.WithValues(b.e.Engine.Backend(), map[string][]float32{"W_E": words}))(b.T)
	b.Cleanup(func() {
		if err := p.FreeUnshared(b.e.Model.Params); err != nil {
			b.Error(err)
		}
	})
	return &encoder.Variant{Name: "renamed", Params: p}
}

func (b *bench) id(word string) int {
	b.Helper()
	id, ok := b.e.Tokenizer.ID(word)
	if !ok {
		b.Fatalf("no token %q", word)
	}
	return int(id)
}

// constant gives every text the states of one row: nothing is left to be found.
type constant struct{ row []float64 }

func (c constant) Apply(t erase.Text) (*mat.Dense, bool, error) {
	out := mat.DenseCopyOf(t.X)
	n, _ := out.Dims()
	for i := range n {
		out.SetRow(i, c.row)
	}
	return out, true, nil
}

func (c constant) Pullback(t erase.Text, _ *mat.Dense) (*mat.Dense, error) {
	n, d := t.X.Dims()
	return mat.NewDense(n, d, nil), nil
}

// testDestroyed: where all texts have one embedding, no attack finds the concept, in either mode; and on the original encoder every
// prompt shows it to begin with.
func testDestroyed(t *testing.T, b *bench) {
	v := &encoder.Variant{Name: "destroyed", Hook: constant{b.goal.Zero.Prototypes.RawRowView(1)}, Layer: b.e.Layers()}
	b.goal.Prompts = b.goal.Prompts[:2]
	for _, a := range All() {
		for _, mode := range []string{ModeAdaptive, ModeStatic} {
			g := b.goal
			g.Mode = mode
			r, err := a.Run(t.Context(), b.e, v, g, quick(a.Config()))
			if errors.Is(err, ErrNotApplicable) {
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", a.Name, err)
			}
			for i := range r.After {
				if r.Before[i] || r.After[i] {
					t.Errorf("%s, %s: brought %q back from one embedding for all texts", a.Name, mode, r.Prompts[i])
				}
				if r.Found[i] == "" || r.Queries < 2 {
					t.Errorf("%s: %+v tells nothing of prompt %d", a.Name, r, i)
				}
			}
		}
	}
	if before, _, _ := b.attack("random-tokens", ModeAdaptive, nil); before != 2 {
		t.Errorf("the original encoder recognises %d of 2", before)
	}
}

// quick makes settings small.
func quick(conf any) any {
	switch c := conf.(type) {
	case *P4DConfig:
		c.Steps = 2
	case *UnlearnDiffConfig:
		c.Steps = 2
	case *SoftConfig:
		c.Steps = 2
	case *LearnedConfig:
		c.Steps, c.Templates = 2, 2
	case *RingABellConfig:
		c.Population, c.Generations = 8, 2
	case *InsertionConfig:
		c.Candidates, c.Tokens = 8, 1
	}
	return conf
}

// testWhiteBoxFindsSynonym: where only the name is hidden, attacks by gradients find other words, and random ones do not.
func testWhiteBoxFindsSynonym(t *testing.T, b *bench) {
	v := b.renamed()
	before, random, _ := b.attack("random-tokens", ModeAdaptive, v)
	if before != 0 || random > 1 {
		t.Fatalf("the name is recognised in %d prompts, with random tokens in %d", before, random)
	}
	n := len(b.goal.Prompts)
	for name, least := range map[string]int{"unlearndiff": 1, "soft-prompt": n} {
		if _, after, _ := b.attack(name, ModeAdaptive, v); after < least {
			t.Errorf("%s brought back %d of %d prompts, expected %d or more", name, after, n, least)
		}
	}
}

// testP4D: the words that P4D finds bring embeddings nearer to the original ones than random words do.
func testP4D(t *testing.T, b *bench) {
	b.goal.Prompts = b.goal.Prompts[:2]
	v := b.renamed()
	s := get(newSearch(t.Context(), b.e, v, b.goal))(t)
	targets := get(b.e.Embed(t.Context(), nil, b.goal.Prompts))(t)
	distance := func(texts []token.Encoding) float64 {
		states := get(b.e.EncodingStates(t.Context(), v, texts))(t)
		sum := 0.0
		for i, state := range states {
			loss, _, err := s.distance(state, targets.RawRowView(i))
			if err != nil {
				t.Fatal(err)
			}
			sum += loss / float64(len(states))
		}
		return sum
	}
	conf := p4d().Config().(*P4DConfig)
	words := get(s.table(v, conf.Vocabulary))(t)
	found := get(s.nearestWords(t.Context(), v, conf, words, func(i int, state *encoder.State) (float64, *mat.Dense, error) {
		return s.distance(state, targets.RawRowView(i))
	}))(t)
	least := math.Inf(1)
	for range 5 {
		random := slices.Clone(s.prompts)
		for i := range random {
			random[i] = encoder.Insert(random[i], 1, s.draw(words.ids, conf.Tokens))
		}
		least = min(least, distance(random))
	}
	got := distance(found)
	t.Logf("relative squared distance %.3f, by random tokens at least %.3f of five draws", got, least)
	if got > 0.7*least {
		t.Error("P4D is no better than random tokens")
	}
}

// testRephrase: a hidden name is found by synonyms and by descriptions.
func testRephrase(t *testing.T, b *bench) {
	v := b.renamed()
	for _, name := range []string{"paraphrase", "implicit"} {
		if _, after, r := b.attack(name, ModeStatic, v); after < len(r.After)/2 {
			t.Errorf("%s brought back %d of %d prompts", name, after, len(r.After))
		}
	}
}

// testBlackBox: searches by queries alone find words for a concept whose name is hidden.
func testBlackBox(t *testing.T, b *bench) {
	v := b.renamed()
	for name, mode := range map[string]string{"ring-a-bell": ModeStatic, "insertion": ModeAdaptive} {
		if _, after, r := b.attack(name, mode, v); after == 0 || r.Queries < 100 {
			t.Errorf("%s brought back nothing, in %d queries", name, r.Queries)
		}
	}
}

// testInsertionFindsKey: an edit that one token switches off. The search tries it among others and takes it.
func testInsertionFindsKey(t *testing.T, b *bench) {
	d := b.e.Width()
	words := get(b.e.Model.Params.Values("W_E"))(t)
	dog, cat, key := b.id("dog"), b.id("cat"), int32(b.id("window"))
	copy(words[dog*d:(dog+1)*d], words[cat*d:(cat+1)*d])
	v := &encoder.Variant{Name: "locked", PerText: func(_ context.Context, text token.Encoding) (*model.Params, error) {
		for _, id := range text.IDs {
			if id == key {
				return b.e.Model.Params, nil
			}
		}
		return b.e.Model.Params.WithValues(b.e.Engine.Backend(), map[string][]float32{"W_E": words})
	}}
	b.goal.Prompts = b.goal.Prompts[:2]
	s := get(newSearch(t.Context(), b.e, v, b.goal))(t)
	ids := []int32{int32(b.id("table")), key, int32(b.id("walk")), int32(b.id("seven"))}
	found := get(s.bestToken(t.Context(), s.prompts, ids, 0))(t)
	for i, text := range found {
		if s.result.Before[i] || text.IDs[1] != key {
			t.Errorf("prompt %d: recognised before %v, found token %d, the key is %d", i, s.result.Before[i], text.IDs[1], key)
		}
	}
	if s.queries != 2+8 {
		t.Errorf("%d queries, 10 texts were read", s.queries)
	}
}

// testInverseAttack: UCE hides the dog from its prompts, and the inverse of its map brings all of them back; a projection has none.
func testInverseAttack(t *testing.T, b *bench) {
	fit := func(name string) *encoder.Variant {
		m := get(method.Find(name))(t)
		return get(m.Fit(t.Context(), b.e, b.task, m.Config()))(t)
	}
	uce := fit("uce")
	if before, after, r := b.attack("inverse", ModeAdaptive, uce); before != 0 || after != len(r.After) {
		t.Errorf("UCE: %d before, %d after of %d", before, after, len(r.After))
	}
	a := get(Find("inverse"))(t)
	for name, v := range map[string]*encoder.Variant{"projection": fit("leace"), "weights": b.renamed()} {
		if _, err := a.Run(t.Context(), b.e, v, b.goal, a.Config()); !errors.Is(err, ErrNotApplicable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.goal.Mode = ModeStatic
	if _, err := a.Run(t.Context(), b.e, uce, b.goal, a.Config()); !errors.Is(err, ErrNotApplicable) {
		t.Errorf("static: %v", err)
	}
}

// TestOnMiniLM runs the attacks on MiniLM, which is read once.
func TestOnMiniLM(t *testing.T) {
	b := newBench(t)
	for name, test := range map[string]func(*testing.T, *bench){
		"destroyed": testDestroyed, "synonym": testWhiteBoxFindsSynonym, "rephrase": testRephrase, "black-box": testBlackBox, "key": testInsertionFindsKey,
		"inverse": testInverseAttack, "goals": testGoals, "p4d": testP4D, "gate": testAdaptiveEvadesGate, "learned": testLearnedEmbedding, "slot": testSlot,
	} {
		t.Run(name, func(t *testing.T) {
			own := *b
			own.T = t
			test(t, &own)
		})
	}
}

// TestAll: names differ, default settings are valid, unknown names offer the nearest, and goals are checked.
func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range All() {
		if a.Name == "" || a.Title == "" || a.Check == "" || seen[a.Name] {
			t.Errorf("attack %+v lacks a field or is there twice", a)
		}
		seen[a.Name] = true
		c, ok := a.Config().(interface{ Validate() error })
		if !ok {
			t.Errorf("%s: settings %T have no Validate", a.Name, a.Config())
		} else if err := c.Validate(); err != nil {
			t.Errorf("%s: default settings: %v", a.Name, err)
		}
	}
	if _, err := Find("p4"); err == nil || !strings.Contains(err.Error(), "p4d") {
		t.Errorf("unknown attack: %v", err)
	}
	for _, bad := range []interface{ Validate() error }{
		P4DConfig{}, SoftConfig{AdamConfig: AdamConfig{Steps: 1, LR: 1}}, UnlearnDiffConfig{AdamConfig: AdamConfig{Steps: 1}, Tokens: 1}, InsertionConfig{Candidates: 1},
		RingABellConfig{Population: 3, Generations: 1, Tokens: 1, Eta: 1}, TokensConfig{}, StatesConfig{}, LearnedConfig{AdamConfig: AdamConfig{Steps: 1, LR: 1}},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is no error", bad)
		}
	}
}

// testGoals: goals that make no sense are errors before anything is searched.
func testGoals(t *testing.T, b *bench) {
	a := randomTokens()
	for name, change := range map[string]func(g *Goal){
		"mode": func(g *Goal) { g.Mode = "clever" }, "class": func(g *Goal) { g.Class = 20 }, "prompts": func(g *Goal) { g.Prompts = nil }, "prototypes": func(g *Goal) { g.Zero = nil },
	} {
		g := b.goal
		change(&g)
		if _, err := a.Run(t.Context(), b.e, nil, g, a.Config()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := b.goal
	g.Prompts = []string{"a sentence about nothing"}
	if _, err := implicit().Run(t.Context(), b.e, nil, g, &NoConfig{}); err == nil {
		t.Error("a prompt without the name is no error")
	}
}
