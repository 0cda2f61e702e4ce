// Package t2izero asks what the correction by similarities of Multi-Concept T2I-Zero (arXiv:2310.07419) does to prompts that name two
// concepts: whether one dominates the other less, and whether a concept's token depends less on the other concept.
package t2izero

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/probe"
)

// Config says which concepts are named in pairs, and how states are corrected.
type Config struct {
	study.Base
	Model        string                   `json:"model" doc:"text encoder"`
	Objects      []string                 `json:"objects" doc:"concepts, which go behind the article a"`
	Templates    []string                 `json:"templates" doc:"prompts with {A} and {B}"`
	Similarities erase.SimilaritiesConfig `json:"similarities" doc:"of the correction"`
	Alphas       []float64                `json:"alphas" doc:"shares of the correction in the table; those of the numbers are in similarities"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "t2i-zero", Doc: "two concepts in a prompt before and after the correction by similarities (arXiv:2310.07419)", New: newConfig},
		Title: "T2I-Zero: does the correction by similarities balance two concepts and part their tokens?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "t2i-zero", Seed: 1}, Model: "minilm",
		Objects:      []string{"dog", "cat", "horse", "castle", "lighthouse", "bridge", "train", "bicycle", "parachute", "balloon"},
		Templates:    []string{"a photo of {A} and {B}", "{A} beside {B}"},
		Similarities: erase.DefaultSimilarities(), Alphas: []float64{0.1, 0.3, 0.5, 1},
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Objects) < 4 || len(c.Templates) == 0 || len(c.Alphas) == 0 {
		return fmt.Errorf("%d objects, %d templates, %d alphas; use four, one and one or more", len(c.Objects), len(c.Templates), len(c.Alphas))
	}
	for _, t := range c.Templates {
		if strings.Count(t, "{A}") != 1 || strings.Count(t, "{B}") != 1 {
			return fmt.Errorf("template %q; it needs {A} and {B} once each", t)
		}
	}
	return c.Similarities.Validate()
}

// prompt names the concepts a and b.
type prompt struct {
	a, b, pair int // pair: the same for both orders and all templates
	template   string
	text       string
	spans      [2][2]int // code points of the two names
}

// fill puts two names into a template.
func fill(template string, names [2]string) (text string, spans [2][2]int) {
	for template != "" {
		at, which := strings.Index(template, "{A}"), 0
		if b := strings.Index(template, "{B}"); at < 0 || b >= 0 && b < at {
			at, which = b, 1
		}
		if at < 0 {
			return text + template, spans
		}
		text += template[:at] + "a "
		start := utf8.RuneCountInString(text)
		text += names[which]
		spans[which] = [2]int{start, utf8.RuneCountInString(text)}
		template = template[at+len("{A}"):]
	}
	return text, spans
}

// prompts are all ordered pairs in all templates. Pairs of an even sum of indices train the probes, the others are measured.
func (c *Config) prompts() (train, test []prompt) {
	for i := range c.Objects {
		for j := range c.Objects {
			if i == j {
				continue
			}
			for _, t := range c.Templates {
				p := prompt{a: i, b: j, pair: min(i, j)*len(c.Objects) + max(i, j), template: t}
				p.text, p.spans = fill(t, [2]string{c.Objects[i], c.Objects[j]})
				if (i+j)%2 == 0 {
					train = append(train, p)
				} else {
					test = append(test, p)
				}
			}
		}
	}
	return train, test
}

// tokens are the positions of a state whose text lies in the span.
func tokens(s *encoder.State, span [2]int) []int {
	var out []int
	for i, o := range s.Offsets {
		if !s.Special[i] && o[0] < span[1] && o[1] > span[0] {
			out = append(out, i)
		}
	}
	return out
}

// edit changes the rows of the tokens of both concepts.
type edit func(x *mat.Dense, tokens []int) (*mat.Dense, error)

func correct(cfg erase.SimilaritiesConfig) edit {
	return func(x *mat.Dense, tokens []int) (*mat.Dense, error) {
		out, err := erase.CorrectSimilarities(x, tokens, cfg)
		if err != nil {
			return nil, err
		}
		return out.Hidden, nil
	}
}

// shrink is the control that only takes away the share that the correction would replace.
func shrink(alpha float64) edit {
	return func(x *mat.Dense, tokens []int) (*mat.Dense, error) {
		out := mat.DenseCopyOf(x)
		for _, t := range tokens {
			floats.Scale(1-alpha, out.RawRowView(t))
		}
		return out, nil
	}
}

// disturb is the control that moves each row as far as the correction does, in a random direction.
func disturb(cfg erase.SimilaritiesConfig, rng *rand.Rand) edit {
	return func(x *mat.Dense, tokens []int) (*mat.Dense, error) {
		moved, err := erase.CorrectSimilarities(x, tokens, cfg)
		if err != nil {
			return nil, err
		}
		out := mat.DenseCopyOf(x)
		_, d := x.Dims()
		noise := make([]float64, d)
		for _, t := range tokens {
			for j := range noise {
				noise[j] = rng.NormFloat64()
			}
			far := floats.Distance(moved.Hidden.RawRowView(t), x.RawRowView(t), 2)
			floats.AddScaled(out.RawRowView(t), far/floats.Norm(noise, 2), noise)
		}
		return out, nil
	}
}

// subject is the encoder with its prompts' states and the probes.
type subject struct {
	cfg      *Config
	encoder  *encoder.Encoder
	test     []prompt
	states   []*encoder.State // of test
	replaced []*encoder.State // of test with another concept in A's place
	spans    [][2][2]int      // of replaced
	probes   []probe.Linear
	cluster  []int
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	u := &subject{cfg: c}
	if u.encoder, err = encoder.New(l.Engine, l.Model, l.Tokenizer, ""); err != nil {
		return err
	}
	if err := u.read(ctx); err != nil {
		return err
	}
	s.Done("read")
	if err := u.measureAll(ctx, s); err != nil {
		return err
	}
	s.Done("corrections")
	return nil
}

// read encodes the prompts and fits a probe for each concept on the training pairs.
func (u *subject) read(ctx context.Context) error {
	train, test := u.cfg.prompts()
	u.test = test
	var texts, others []string
	for _, p := range train {
		texts = append(texts, p.text)
	}
	x, err := u.encoder.Embed(ctx, nil, texts)
	if err != nil {
		return err
	}
	rows, err := probe.RowsOf(x)
	if err != nil {
		return err
	}
	var targets []probe.Target
	for k, name := range u.cfg.Objects {
		t := probe.Target{Name: name, Task: probe.Binary, Classes: []string{"without", "with"}}
		for _, p := range train {
			class := 0
			if p.a == k || p.b == k {
				class = 1
			}
			t.Class = append(t.Class, class)
		}
		targets = append(targets, t)
	}
	if u.probes, err = probe.Logistic(ctx, rows, targets, probe.DefaultLogistic()); err != nil {
		return err
	}
	texts = texts[:0]
	n := len(u.cfg.Objects)
	for _, p := range test {
		texts, u.cluster = append(texts, p.text), append(u.cluster, p.pair)
		other := (p.a + 1) % n
		if other == p.b {
			other = (p.b + 1) % n
		}
		text, spans := fill(p.template, [2]string{u.cfg.Objects[other], u.cfg.Objects[p.b]})
		others, u.spans = append(others, text), append(u.spans, spans)
	}
	if u.states, err = u.encoder.States(ctx, nil, texts); err != nil {
		return err
	}
	u.replaced, err = u.encoder.States(ctx, nil, others)
	return err
}

// measured are one edit's values, one a prompt.
type measured struct {
	gap   []float64 // |p_A - p_B|
	leak  []float64 // relative change of B's tokens when A is replaced
	right []float64 // share of the two concepts among the two largest probabilities
	moved []float64 // relative change of the concepts' tokens by the edit
}

func (u *subject) measure(do edit) (*measured, error) {
	out := &measured{}
	edited := make([]*encoder.State, len(u.states))
	for i, s := range u.states {
		p := u.test[i]
		a, b := tokens(s, p.spans[0]), tokens(s, p.spans[1])
		x, err := do(s.X, slices.Concat(a, b))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", p.text, err)
		}
		edited[i] = &encoder.State{Encoding: s.Encoding, X: x}
		out.moved = append(out.moved, relative(s.X, x, slices.Concat(a, b), slices.Concat(a, b)))
		r := u.replaced[i]
		c, d := tokens(r, u.spans[i][0]), tokens(r, u.spans[i][1])
		y, err := do(r.X, slices.Concat(c, d))
		if err != nil {
			return nil, fmt.Errorf("%q with another concept: %w", p.text, err)
		}
		out.leak = append(out.leak, relative(x, y, b, d))
	}
	x, err := u.encoder.Rows(edited)
	if err != nil {
		return nil, err
	}
	rows, err := probe.RowsOf(x)
	if err != nil {
		return nil, err
	}
	score := make([][]float64, len(u.probes))
	for k, p := range u.probes {
		if score[k], err = p.Scores(rows); err != nil {
			return nil, err
		}
	}
	for i, p := range u.test {
		sigmoid := func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
		out.gap = append(out.gap, math.Abs(sigmoid(score[p.a][i])-sigmoid(score[p.b][i])))
		right := 0.0
		for _, k := range []int{p.a, p.b} {
			higher := 0
			for j := range score {
				if score[j][i] > score[k][i] {
					higher++
				}
			}
			if higher < 2 {
				right += 0.5
			}
		}
		out.right = append(out.right, right)
	}
	return out, nil
}

// relative is the mean over paired rows of |x_i - y_j| / |x_i|.
func relative(x, y *mat.Dense, i, j []int) float64 {
	sum := 0.0
	for k := range i {
		sum += floats.Distance(x.RawRowView(i[k]), y.RawRowView(j[k]), 2) / floats.Norm(x.RawRowView(i[k]), 2)
	}
	return sum / float64(len(i))
}

func (u *subject) measureAll(ctx context.Context, s *study.Session) error {
	c := u.cfg
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x7a65726f)) // "zero"
	table := report.Table{
		Caption: fmt.Sprintf("%d held-out prompts of two concepts; intervals draw pairs of concepts. Gap: |p_A - p_B| of the concepts' probes. Leak: relative change of B's tokens when A is replaced. Both right: share of A and B among the two most probable of %d", len(u.test), len(c.Objects)),
		Columns: []report.Column{{Name: "edit"}, {Name: "tokens moved by"}, {Name: "gap"}, {Name: "change"}, {Name: "leak"}, {Name: "change"}, {Name: "both right"}, {Name: "change"}},
	}
	before, err := u.measure(func(x *mat.Dense, _ []int) (*mat.Dense, error) { return x, nil })
	if err != nil {
		return err
	}
	add := func(label, number string, m *measured) error {
		moved, err := lab.MeanOver(ctx, m.moved, u.cluster, c.Seed)
		if err != nil {
			return err
		}
		cells := []any{label, moved.Value}
		for _, v := range []struct {
			name       string
			now, first []float64
		}{{"gap", m.gap, before.gap}, {"leak", m.leak, before.leak}, {"right", m.right, before.right}} {
			now, err := lab.MeanOver(ctx, v.now, u.cluster, c.Seed)
			if err != nil {
				return err
			}
			change, err := lab.MeanOver(ctx, lab.Minus(v.now, v.first), u.cluster, c.Seed)
			if err != nil {
				return err
			}
			cells = append(cells, lab.Cell(now), lab.Cell(change))
			if number != "" {
				s.Interval(number+"."+v.name, now)
				s.Interval(number+"."+v.name+"_change", change)
			}
		}
		table.Rows = append(table.Rows, cells)
		return nil
	}
	if err := add("none", "before", before); err != nil {
		return err
	}
	type named struct {
		label, number string
		do            edit
	}
	list := []named{{fmt.Sprintf("correction, alpha %v", c.Similarities.Alpha), "corrected", correct(c.Similarities)}}
	for _, alpha := range c.Alphas {
		if cfg := c.Similarities; alpha != cfg.Alpha {
			cfg.Alpha = alpha
			list = append(list, named{fmt.Sprintf("correction, alpha %v", alpha), "", correct(cfg)})
		}
	}
	list = append(list, named{"only shrunk by alpha", "shrunk", shrink(c.Similarities.Alpha)}, named{"random, as far", "random", disturb(c.Similarities, rng)})
	for _, e := range list {
		m, err := u.measure(e.do)
		if err != nil {
			return err
		}
		if err := add(e.label, e.number, m); err != nil {
			return err
		}
	}
	s.Table("corrections", table)
	return nil
}
