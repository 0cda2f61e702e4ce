// Package classdiffusion asks whether ClassDiffusion's semantic preservation loss (arXiv:2405.17532) keeps a class composable when a new
// word is learned in front of it: on the text side alone, where it acts.
package classdiffusion

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/custom"
	"loupe/experiments/erase/encoder"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/vectors"
)

// Config says what words are learned, and how.
type Config struct {
	study.Base
	Model    string             `json:"model" doc:"text encoder"`
	Classes  []string           `json:"classes" doc:"classes that have captions"`
	Seeds    int                `json:"seeds" doc:"first embeddings of each class's word"`
	Preserve float64            `json:"preserve" doc:"weight of the semantic preservation loss"`
	Learn    custom.LearnConfig `json:"learn" doc:"how words are learned"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "classdiffusion", Doc: "a new word with and without the semantic preservation loss: fidelity and composition (arXiv:2405.17532)", New: newConfig},
		Title: "ClassDiffusion: does the semantic preservation loss keep a customised class composable?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "classdiffusion", Seed: 1}, Model: "minilm", Classes: []string{"dog", "cat", "teapot", "backpack"}, Seeds: 2, Preserve: 1,
		Learn: custom.DefaultLearn(),
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Classes) < 2 || c.Seeds < 1 || c.Preserve <= 0 {
		return fmt.Errorf("%d classes, seeds %d, preserve %v; use two, one and a positive weight", len(c.Classes), c.Seeds, c.Preserve)
	}
	for _, class := range c.Classes {
		if captions[class] == nil {
			return fmt.Errorf("class %q has no captions; use some of %s", class, strings.Join(slices.Sorted(maps.Keys(captions)), ", "))
		}
	}
	return c.Learn.Validate()
}

// of puts a class into patterns; without a word, NewWord and the space behind it are gone.
func of(class string, word bool, patterns ...string) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		if !word {
			p = strings.ReplaceAll(p, custom.NewWord+" ", "")
		}
		out[i] = strings.ReplaceAll(p, "{class}", class)
	}
	return out
}

// subject is a class with what its words are held against.
type subject struct {
	class    string
	target   []float64
	phrases  []custom.Prompt // for learning, then heldOut, then heldOut with each composition
	embedded *mat.Dense      // of the same phrases without the word
}

func newSubject(ctx context.Context, e *encoder.Encoder, class string) (*subject, error) {
	u := &subject{class: class}
	x, err := e.Embed(ctx, nil, captions[class])
	if err != nil {
		return nil, err
	}
	n, d := x.Dims()
	u.target = make([]float64, d)
	for i := range n {
		row := x.RawRowView(i)
		floats.AddScaled(u.target, 1/(float64(n)*floats.Norm(row, 2)), row)
	}
	patterns := append(slices.Clone(phrases), heldOut)
	for _, c := range compositions {
		patterns = append(patterns, heldOut+" "+c)
	}
	if u.phrases, err = custom.Prompts(e, of(class, true, patterns...)); err != nil {
		return nil, err
	}
	u.embedded, err = e.Embed(ctx, nil, of(class, false, patterns...))
	return u, err
}

// result is what one word is good for.
type result struct {
	fidelity  float64   // cos(E(held-out phrase with the word), target)
	class     float64   // cos(E(held-out phrase with the word), E(the phrase without))
	retention []float64 // of each composition: how much of the class's own shift the phrase with the word makes
	composed  []float64 // cos(E(word, class and composition), E(class and composition))
}

func (u *subject) judge(ctx context.Context, e *encoder.Encoder, word []float64) (*result, error) {
	var soft []*encoder.Soft
	first := len(phrases) // heldOut
	for _, p := range u.phrases[first:] {
		soft = append(soft, p.Soft(word))
	}
	states, err := e.SoftStates(ctx, nil, soft)
	if err != nil {
		return nil, err
	}
	x, err := e.Rows(states)
	if err != nil {
		return nil, err
	}
	plain, base := x.RawRowView(0), u.embedded.RawRowView(first)
	r := &result{}
	if r.fidelity, err = vectors.Cosine(plain, u.target); err != nil {
		return nil, err
	}
	if r.class, err = vectors.Cosine(plain, base); err != nil {
		return nil, err
	}
	for i := range compositions {
		with, want := x.RawRowView(1+i), u.embedded.RawRowView(first+1+i)
		r.retention = append(r.retention, retention(plain, with, base, want))
		c, err := vectors.Cosine(with, want)
		if err != nil {
			return nil, err
		}
		r.composed = append(r.composed, c)
	}
	return r, nil
}

// retention is the share of the shift that a composition makes of the class, base to want, which it makes of the phrase with the word,
// plain to with: <with - plain, want - base> / |want - base|². It is 1 where the word changes nothing about it.
func retention(plain, with, base, want []float64) float64 {
	shift := floats.SubTo(make([]float64, len(base)), want, base)
	own := floats.SubTo(make([]float64, len(base)), with, plain)
	return floats.Dot(own, shift) / floats.Dot(shift, shift)
}

// The ways to learn a word.
var ways = []struct{ label, number string }{
	{"with the preservation loss", "preserved"}, {"without", "plain"}, {"a random word, not trained", "random"}, {"no word", "class"},
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	e, err := encoder.New(l.Engine, l.Model, l.Tokenizer, "")
	if err != nil {
		return err
	}
	adjectives, err := e.Tokens("small brown old red grey blue green round tall broken yellow heavy little worn")
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x6e657731)) // "new1"
	var subjects []*subject
	var tasks []custom.Subject // of each class and seed: with the loss, then without
	for _, class := range c.Classes {
		u, err := newSubject(ctx, e, class)
		if err != nil {
			return err
		}
		subjects = append(subjects, u)
		start, err := custom.RandomWords(e, c.Seeds, adjectives.IDs[1:adjectives.Len()-1], rng)
		if err != nil {
			return err
		}
		for i := range c.Seeds {
			for _, weight := range []float64{c.Preserve, 0} {
				tasks = append(tasks, custom.Subject{
					Prompts: u.phrases[:len(phrases)], Class: mat.DenseCopyOf(u.embedded.Slice(0, len(phrases), 0, e.Width())), Target: u.target, Start: start.RawRowView(i), Preserve: weight,
				})
			}
		}
	}
	s.Done("read")
	learned, err := custom.LearnWords(ctx, e, tasks, c.Learn)
	if err != nil {
		return err
	}
	s.Done("learn")
	results := make(map[string][]*result) // by way: of each class and seed
	for i, w := range learned {
		u := subjects[i/(2*c.Seeds)]
		words := map[string][]float64{"preserved": w.Word}
		if i%2 == 1 {
			words = map[string][]float64{"plain": w.Word, "random": tasks[i].Start}
		}
		for way, word := range words {
			r, err := u.judge(ctx, e, word)
			if err != nil {
				return fmt.Errorf("%s: %w", u.class, err)
			}
			results[way] = append(results[way], r)
		}
		if i%2 == 1 { // the class alone, beside each of its words
			first := len(phrases)
			fidelity, err := vectors.Cosine(u.embedded.RawRowView(first), u.target)
			if err != nil {
				return err
			}
			alone := &result{fidelity: fidelity, class: 1}
			for range compositions {
				alone.retention, alone.composed = append(alone.retention, 1), append(alone.composed, 1)
			}
			results["class"] = append(results["class"], alone)
		}
	}
	s.Text("Loss of fidelity (1 - cos with the target) in the first and the last step, mean over words: %.3f and %.3f with the preservation loss, %.3f and %.3f without.",
		ends(learned, 0, 0), ends(learned, 0, -1), ends(learned, 1, 0), ends(learned, 1, -1))
	defer s.Done("compositions")
	return tabulate(ctx, s, c, results)
}

// ends is the mean fidelity loss in a step (-1: the last) of every second word from first on.
func ends(learned []*custom.Learned, first, step int) float64 {
	sum, n := 0.0, 0
	for i := first; i < len(learned); i += 2 {
		f := learned[i].Fidelity
		sum, n = sum+f[(step+len(f))%len(f)], n+1
	}
	return sum / float64(n)
}

func tabulate(ctx context.Context, s *study.Session, c *Config, results map[string][]*result) error {
	table := report.Table{
		Caption: fmt.Sprintf("%d classes, %d words each, %d compositions, held-out phrases; intervals draw words", len(c.Classes), c.Seeds, len(compositions)),
		Columns: []report.Column{{Name: "word"}, {Name: "fidelity: cos with the target"}, {Name: "cos with the class"}, {Name: "composition retained"}, {Name: "cos with the composed class"}},
	}
	columns := []struct {
		name string
		of   func(r *result) []float64
	}{
		{"fidelity", func(r *result) []float64 { return []float64{r.fidelity} }}, {"class", func(r *result) []float64 { return []float64{r.class} }},
		{"retention", func(r *result) []float64 { return r.retention }}, {"composed", func(r *result) []float64 { return r.composed }},
	}
	flat := func(way string, of func(r *result) []float64) (x []float64, word []int) {
		for i, r := range results[way] {
			for _, v := range of(r) {
				x, word = append(x, v), append(word, i)
			}
		}
		return x, word
	}
	for _, w := range ways {
		cells := []any{w.label}
		for _, column := range columns {
			x, word := flat(w.number, column.of)
			i, err := lab.MeanOver(ctx, x, word, c.Seed)
			if err != nil {
				return err
			}
			s.Interval(w.number+"."+column.name, i)
			cells = append(cells, lab.Cell(i))
		}
		table.Rows = append(table.Rows, cells)
	}
	s.Table("words", table)
	gains := report.Table{Caption: "With the preservation loss less without, paired by word", Columns: []report.Column{{Name: "measure"}, {Name: "difference"}}}
	for _, column := range columns {
		with, word := flat("preserved", column.of)
		without, _ := flat("plain", column.of)
		i, err := lab.MeanOver(ctx, lab.Minus(with, without), word, c.Seed)
		if err != nil {
			return err
		}
		s.Interval("gain."+column.name, i)
		gains.Rows = append(gains.Rows, []any{column.name, lab.Cell(i)})
	}
	fidelity, word := flat("preserved", columns[0].of)
	alone, _ := flat("class", columns[0].of)
	i, err := lab.MeanOver(ctx, lab.Minus(fidelity, alone), word, c.Seed)
	if err != nil {
		return err
	}
	s.Interval("preserved.learned", i)
	s.Table("gains", gains)
	s.Text("Fidelity with the preservation loss less that of the class alone: %s.", lab.Short(i))
	return nil
}
