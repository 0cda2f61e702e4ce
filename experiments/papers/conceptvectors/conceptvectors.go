// Package conceptvectors finds the value vectors of a language model's MLPs that stand for concepts, and puts them to the test
// by noise (arXiv:2406.11614).
package conceptvectors

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// Config says where vectors are looked for and how they are tested.
type Config struct {
	study.Base
	Model     string   `json:"model" doc:"language model"`
	Concepts  []string `json:"concepts" doc:"concepts of the built-in suite, whose words are the lexicons"`
	Unrelated []string `json:"unrelated" doc:"concepts whose clozes should not change"`
	Layers    []int    `json:"layers" doc:"layers whose value vectors are candidates"`
	K         int      `json:"k" doc:"top tokens of a vector"`
	Random    int      `json:"random" doc:"random directions that purities are held against"`
	Decoys    int      `json:"decoys" doc:"further random directions among the candidates: what is found of them is false"`
	Alpha     float64  `json:"alpha" doc:"false discovery rate"`
	Test      int      `json:"validate" doc:"concepts, those with the most vectors, that are tested by noise"`
	Clozes    int      `json:"clozes" doc:"lists to be continued, of the concept and of unrelated ones"`
	Counts    []int    `json:"counts" doc:"how many vectors get noise at once"`
	Noise     float64  `json:"noise" doc:"standard deviation in units of the layer's root mean square entry"`
	Draws     int      `json:"draws" doc:"draws of noise and of control neurons"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "conceptvectors", Doc: "MLP value vectors of concepts: purity with null and FDR, noise with exact restore, damage curve (arXiv:2406.11614)", New: func() any {
			return &Config{
				Base: study.Base{Name: "conceptvectors", Seed: 1}, Model: "smollm2", Concepts: []string{"animals", "food", "music", "sport"}, Unrelated: []string{"clothing", "weather", "family"},
				Layers: []int{18, 24}, K: 100, Random: 29999, Decoys: 300, Alpha: 0.05, Test: 2, Clozes: 16, Counts: []int{1, 4, 16}, Noise: 3, Draws: 2,
			}
		}},
		Title: "Concept vectors: MLP value vectors that name a concept, and whether the model needs them",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case len(c.Concepts) == 0 || len(c.Unrelated) == 0 || len(c.Layers) == 0 || len(c.Counts) == 0:
		return fmt.Errorf("concepts is %v, unrelated %v, layers %v, counts %v; name one of each or more", c.Concepts, c.Unrelated, c.Layers, c.Counts)
	case c.Decoys < 1 || c.Clozes < 2 || c.Test < 1 || c.Test > len(c.Concepts):
		return fmt.Errorf("decoys is %d, clozes %d, validate %d; use 1, 2 and 1 to the number of concepts", c.Decoys, c.Clozes, c.Test)
	}
	return vectors.FindConfig{K: c.K, Random: c.Random, Alpha: c.Alpha}.Validate()
}

// concept is a concept with the value vectors that name it, purest first.
type concept struct {
	name    string
	lexicon []int
	best    []found
	count   int // at the false discovery rate
}

// found is a value vector with its purity.
type found struct {
	vectors.Neuron
	vectors.FoundVector
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	concepts, err := find(ctx, s, c, l)
	if err != nil {
		return err
	}
	s.Done("find")
	slices.SortStableFunc(concepts, func(a, b *concept) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(b.best[0].Value, a.best[0].Value))
	})
	defer s.Done("validate")
	return validate(ctx, s, c, l, concepts[:c.Test])
}

// find tests the value vectors of the layers, and random directions among them, against the concepts' lexicons.
func find(ctx context.Context, s *study.Session, c *Config, l *lab.Lab) ([]*concept, error) {
	e, err := vectors.Unembedding(l.Model)
	if err != nil {
		return nil, err
	}
	v, d := e.Dims()
	candidates := mat.NewDense(len(c.Layers)*l.Model.Spec.DMLP+c.Decoys, d, nil)
	var neurons []vectors.Neuron
	for _, layer := range c.Layers {
		values, err := vectors.ValueVectors(l.Model, layer)
		if err != nil {
			return nil, err
		}
		for i := range l.Model.Spec.DMLP {
			candidates.SetRow(len(neurons), values.RawRowView(i))
			neurons = append(neurons, vectors.Neuron{Layer: layer, Index: i})
		}
	}
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x6465636f79)) // "decoy"
	for i := range c.Decoys {
		for j := range d {
			candidates.Set(len(neurons)+i, j, rng.NormFloat64())
		}
	}
	suite, err := text.NewSuite()
	if err != nil {
		return nil, err
	}
	var concepts []*concept
	var purities []vectors.TopStatistic
	for _, name := range c.Concepts {
		words, err := suite.Words(name)
		if err != nil {
			return nil, err
		}
		lexicon, err := lexiconOf(l.Tokenizer, words)
		if err != nil {
			return nil, fmt.Errorf("concept %s: %w", name, err)
		}
		purity, err := vectors.LexiconPurity(name, lexicon, v)
		if err != nil {
			return nil, err
		}
		concepts, purities = append(concepts, &concept{name: name, lexicon: lexicon}), append(purities, purity)
	}
	// every test is asked for: the ones beyond the false discovery rate rank what is too few to count
	all, err := vectors.FindVectors(ctx, e, candidates, purities, vectors.FindConfig{K: c.K, Random: c.Random, Alpha: 1, Seed: uint64(c.Seed)})
	if err != nil {
		return nil, err
	}
	decoys := 0
	for _, f := range all {
		hit := f.BH <= c.Alpha
		if f.Candidate >= len(neurons) {
			if hit {
				decoys++
			}
			continue
		}
		for _, of := range concepts {
			if of.name == f.Statistic {
				of.best = append(of.best, found{neurons[f.Candidate], f})
				if hit {
					of.count++
				}
			}
		}
	}
	return concepts, reportFound(s, c, l.Tokenizer, concepts, decoys)
}

// lexiconOf are the tokens that are a word of the list by themselves, with and without a space before and a capital.
func lexiconOf(t *token.Tokenizer, words []string) ([]int, error) {
	seen := map[int]bool{}
	var out []int
	for _, w := range words {
		for _, form := range []string{w, w + "s", strings.ToUpper(w[:1]) + w[1:], strings.ToUpper(w[:1]) + w[1:] + "s"} {
			for _, written := range []string{form, " " + form} {
				e, err := t.Encode(written, token.EncodeOptions{})
				if err != nil {
					return nil, err
				}
				if e.Len() == 1 && !seen[int(e.IDs[0])] {
					seen[int(e.IDs[0])] = true
					out = append(out, int(e.IDs[0]))
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none of its %d words is a token", len(words))
	}
	return out, nil
}

func reportFound(s *study.Session, c *Config, t *token.Tokenizer, concepts []*concept, decoys int) error {
	s.Text("Candidates: the value vectors of layers %v and %d random directions; purity is the share of a vector's %d top tokens that are words of the concept.", c.Layers, c.Decoys, c.K)
	table := report.Table{
		Caption: fmt.Sprintf("Vectors at a false discovery rate of %g, against %d random directions, over all tests", c.Alpha, c.Random),
		Columns: []report.Column{{Name: "concept"}, {Name: "tokens", Doc: "of the lexicon"}, {Name: "vectors"}, {Name: "purest"}, {Name: "purity"}, {Name: "adjusted p"}, {Name: "its top tokens"}},
	}
	total, best := 0, 0.0
	for _, of := range concepts {
		b := of.best[0]
		var top []string
		for _, id := range b.Top[:min(8, len(b.Top))] {
			w, err := t.Decode([]int32{int32(id)}, false)
			if err != nil {
				return err
			}
			top = append(top, fmt.Sprintf("%q", strings.TrimSpace(w)))
		}
		table.Rows = append(table.Rows, []any{of.name, len(of.lexicon), of.count, fmt.Sprintf("%d.%d", b.Layer, b.Index), b.Value, b.BH, strings.Join(top, " ")})
		total, best = total+of.count, max(best, b.Value)
	}
	s.Table("found", table)
	s.Value("found.vectors", float64(total))
	s.Value("found.decoys", float64(decoys))
	s.Value("found.best_purity", best)
	return nil
}

// validate puts noise on the purest vectors of each concept.
func validate(ctx context.Context, s *study.Session, c *Config, l *lab.Lab, concepts []*concept) error {
	var unrelated []vectors.Cloze
	for i, name := range c.Unrelated {
		share := c.Clozes/len(c.Unrelated) + min(1, max(0, c.Clozes%len(c.Unrelated)-i))
		more, err := lab.ListClozes(l.Tokenizer, name, share, c.Seed)
		if err != nil {
			return err
		}
		unrelated = append(unrelated, more...)
	}
	t := report.Table{
		Caption: fmt.Sprintf("Change of log p (nats) of %d clozes when noise of %g times their size is on the purest vectors; the control is as many random vectors of the same layers", c.Clozes, c.Noise),
		Columns: []report.Column{{Name: "concept"}, {Name: "vectors"}, {Name: "its clozes"}, {Name: "unrelated"}, {Name: "its clozes, control"}, {Name: "unrelated, control"}},
	}
	restored := 1.0
	for i, of := range concepts {
		clozes, err := lab.ListClozes(l.Tokenizer, of.name, c.Clozes, c.Seed)
		if err != nil {
			return err
		}
		var neurons []vectors.Neuron
		for _, f := range of.best[:min(len(of.best), slices.Max(c.Counts))] {
			neurons = append(neurons, f.Neuron)
		}
		cfg := vectors.DefaultValidate()
		cfg.Noise, cfg.Draws, cfg.Counts, cfg.Batch, cfg.Seed, cfg.Bootstrap = c.Noise, c.Draws, c.Counts, 2*c.Clozes, uint64(c.Seed), lab.Bootstrap(c.Seed)
		v, err := vectors.ValidateVectors(ctx, l.Engine, l.Model, neurons, clozes, unrelated, cfg)
		if err != nil {
			return err
		}
		if !v.Restored {
			restored = 0
		}
		for _, p := range v.Curve {
			t.Rows = append(t.Rows, []any{of.name, p.Count, lab.Cell(p.Concept), lab.Cell(p.Unrelated), lab.Cell(p.ControlConcept), lab.Cell(p.ControlUnrelated)})
		}
		last := v.Curve[len(v.Curve)-1]
		for name, iv := range map[string]stats.Interval{"concept": last.Concept, "unrelated": last.Unrelated, "control": last.ControlConcept} {
			s.Interval(fmt.Sprintf("noise%d.%s", i+1, name), iv)
		}
		s.Value(fmt.Sprintf("noise%d.one", i+1), v.Curve[0].Concept.Value)
		s.Plot(curve(of.name, v.Curve))
	}
	s.Table("noise", t)
	s.Value("restored", restored)
	return nil
}

// curve draws a concept's damage against the number of vectors.
func curve(name string, points []vectors.DamagePoint) report.Line {
	line := report.Line{Title: name + ": noise on its purest vectors", XLabel: "vectors", YLabel: "change of log p (nats)", LogX: true}
	for _, of := range []struct {
		name  string
		value func(vectors.DamagePoint) stats.Interval
	}{
		{"its clozes", func(p vectors.DamagePoint) stats.Interval { return p.Concept }}, {"unrelated", func(p vectors.DamagePoint) stats.Interval { return p.Unrelated }},
		{"its clozes, random vectors", func(p vectors.DamagePoint) stats.Interval { return p.ControlConcept }},
	} {
		series := report.Series{Name: of.name}
		for _, p := range points {
			i := of.value(p)
			series.X, series.Y, series.Low, series.High = append(series.X, float64(p.Count)), append(series.Y, i.Value), append(series.Low, i.Low), append(series.High, i.High)
		}
		line.Series = append(line.Series, series)
	}
	return line
}
