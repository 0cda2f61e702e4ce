// Package omniprism asks whether OmniPrism's contrastive orthogonal training (arXiv:2412.12242) parts content from style when it is put on
// text embeddings: whether a probe still reads one aspect from the head of the other.
package omniprism

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/custom"
	"loupe/experiments/erase/encoder"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/vectors"
)

// Config says what grid of texts the heads are trained on.
type Config struct {
	study.Base
	Model     string             `json:"model" doc:"text encoder"`
	Objects   []string           `json:"objects" doc:"contents, which go behind the article a"`
	Styles    []string           `json:"styles" doc:"styles"`
	Templates []string           `json:"templates" doc:"texts with {object} and {style}; the last is held out"`
	Heads     custom.HeadsConfig `json:"heads" doc:"of the training"`
	Seeds     int                `json:"seeds" doc:"trainings of each kind, from seed on"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "omniprism", Doc: "heads for content and style on text embeddings, contrastive and orthogonal (arXiv:2412.12242)", New: newConfig},
		Title: "OmniPrism: do contrastive orthogonal heads part content from style?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "omniprism", Seed: 1}, Model: "minilm",
		Objects:   []string{"dog", "cat", "horse", "castle", "lighthouse", "bridge", "train", "bicycle", "parachute", "balloon", "church", "boat"},
		Styles:    []string{"impressionism", "cubism", "surrealism", "expressionism", "romanticism", "pointillism", "mosaic", "stained glass", "etching", "watercolour", "comic art", "pixel art"},
		Templates: []string{"a picture of a {object} in the style of {style}", "{style} that shows a {object}", "a {object}, done as {style}"},
		Heads:     custom.DefaultHeads(), Seeds: 3,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Objects) < 4 || len(c.Styles) < 4 || len(c.Templates) < 2 || c.Seeds < 1 {
		return fmt.Errorf("%d objects, %d styles, %d templates, seeds %d; use four, four, two and one or more", len(c.Objects), len(c.Styles), len(c.Templates), c.Seeds)
	}
	for _, t := range c.Templates {
		if !strings.Contains(t, "{object}") || !strings.Contains(t, "{style}") {
			return fmt.Errorf("template %q; it needs {object} and {style}", t)
		}
	}
	return c.Heads.Validate()
}

// aspects of a text, by the order of the heads.
var aspects = [2]string{"content", "style"}

// grid are the texts with their aspects, of which the last template is for the test alone. All cells of objects x styles are in training and test:
// were some held out, a head that knows the object alone would tell which styles it was not seen with, and a probe of the style would fall below chance.
type grid struct {
	texts         []string
	labels        [2][]int
	train, test   []int
	cell          []int // of each text: the cluster that intervals draw
	x             *mat.Dense
	trainX, testX *mat.Dense
}

func (c *Config) grid() *grid {
	g := &grid{}
	for o, object := range c.Objects {
		for s, style := range c.Styles {
			for t, template := range c.Templates {
				i := len(g.texts)
				g.texts = append(g.texts, strings.NewReplacer("{object}", object, "{style}", style).Replace(template))
				g.labels[0], g.labels[1] = append(g.labels[0], o), append(g.labels[1], s)
				g.cell = append(g.cell, o*len(c.Styles)+s)
				if t == len(c.Templates)-1 {
					g.test = append(g.test, i)
				} else {
					g.train = append(g.train, i)
				}
			}
		}
	}
	return g
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
	g := c.grid()
	if g.x, err = e.Embed(ctx, nil, g.texts); err != nil {
		return err
	}
	g.trainX, g.testX = rowsOf(g.x, g.train), rowsOf(g.x, g.test)
	s.Text("%d texts to train heads and probes, %d in another template to test: %d objects x %d styles.", len(g.train), len(g.test), len(c.Objects), len(c.Styles))
	s.Done("read")
	defer s.Done("heads and probes")
	return measureAll(ctx, s, c, g)
}

// kind is a way to make heads.
type kind struct {
	label, number string
	make          func(seed uint64) (*custom.Heads, error)
}

func measureAll(ctx context.Context, s *study.Session, c *Config, g *grid) error {
	labels := [][]int{lab.Take(g.labels[0], g.train), lab.Take(g.labels[1], g.train)}
	fit := func(orthogonal float64) func(seed uint64) (*custom.Heads, error) {
		cfg := c.Heads
		cfg.Orthogonal = orthogonal
		return func(seed uint64) (*custom.Heads, error) { return custom.FitHeads(ctx, g.trainX, labels, cfg, seed) }
	}
	_, d := g.x.Dims()
	kinds := []kind{
		{fmt.Sprintf("orthogonal, weight %v", c.Heads.Orthogonal), "orthogonal", fit(c.Heads.Orthogonal)},
		{"without the orthogonality", "contrastive", fit(0)},
		{"random heads", "random", func(seed uint64) (*custom.Heads, error) { return randomHeads(c.Heads.Width, d, seed), nil }},
	}
	table := report.Table{
		Caption: fmt.Sprintf("Accuracy of linear probes on held-out texts, mean of %d trainings; intervals draw cells of the grid. Chance is %.3f for content and %.3f for style", c.Seeds, 1/float64(len(c.Objects)), 1/float64(len(c.Styles))),
		Columns: []report.Column{{Name: "heads"}, {Name: "|cos| of the heads"}, {Name: "in training"}, {Name: "content from its head"}, {Name: "style from its head"}, {Name: "style from the content head"}, {Name: "content from the style head"}},
	}
	raw, err := probeBoth(ctx, g, g.trainX, g.testX)
	if err != nil {
		return err
	}
	of := lab.Take(g.cell, g.test)
	cells := []any{"the embedding itself", nil, nil}
	for _, right := range [][]float64{raw[0], raw[1], raw[1], raw[0]} {
		i, err := lab.MeanOver(ctx, right, of, c.Seed)
		if err != nil {
			return err
		}
		cells = append(cells, lab.Cell(i))
	}
	table.Rows = append(table.Rows, cells)
	cross := make(map[string][]float64) // of the two cross readings together, by kind
	for _, k := range kinds {
		var right [2][2][]float64  // [head][aspect][test text], mean over seeds
		cosine, fitted := 0.0, 0.0 // mean |cos| of the heads' outputs, on test and on training texts
		for seed := range c.Seeds {
			heads, err := k.make(uint64(c.Seed) + uint64(seed))
			if err != nil {
				return err
			}
			var train, test [2]*mat.Dense
			for a := range aspects {
				if train[a], err = heads.Apply(a, g.trainX); err != nil {
					return err
				}
				if test[a], err = heads.Apply(a, g.testX); err != nil {
					return err
				}
				got, err := probeBoth(ctx, g, train[a], test[a])
				if err != nil {
					return err
				}
				for b := range aspects {
					if right[a][b] == nil {
						right[a][b] = make([]float64, len(g.test))
					}
					for i, v := range got[b] {
						right[a][b][i] += v / float64(c.Seeds)
					}
				}
			}
			for _, of := range []struct {
				z  [2]*mat.Dense
				to *float64
			}{{test, &cosine}, {train, &fitted}} {
				v, err := meanCosine(of.z)
				if err != nil {
					return err
				}
				*of.to += v / float64(c.Seeds)
			}
		}
		s.Value(k.number+".cosine", cosine)
		s.Value(k.number+".fitted_cosine", fitted)
		cells := []any{k.label, cosine, fitted}
		for _, v := range []struct {
			number string
			right  []float64
		}{{"content", right[0][0]}, {"style", right[1][1]}, {"style_from_content", right[0][1]}, {"content_from_style", right[1][0]}} {
			i, err := lab.MeanOver(ctx, v.right, of, c.Seed)
			if err != nil {
				return err
			}
			s.Interval(k.number+"."+v.number, i)
			cells = append(cells, lab.Cell(i))
		}
		table.Rows = append(table.Rows, cells)
		for i := range g.test {
			cross[k.number] = append(cross[k.number], (right[0][1][i]+right[1][0][i])/2)
		}
	}
	s.Table("probes", table)
	for _, against := range []string{"contrastive", "random"} {
		i, err := lab.MeanOver(ctx, lab.Minus(cross["orthogonal"], cross[against]), of, c.Seed)
		if err != nil {
			return err
		}
		s.Interval("cross_less_"+against, i)
		s.Text("Accuracy across aspects of orthogonal heads less that of %s ones: %s.", against, lab.Short(i))
	}
	return nil
}

// meanCosine is the mean over texts of |cos| between the two heads' outputs.
func meanCosine(z [2]*mat.Dense) (float64, error) {
	n, _ := z[0].Dims()
	sum := 0.0
	for i := range n {
		v, err := vectors.Cosine(z[0].RawRowView(i), z[1].RawRowView(i))
		if err != nil {
			return 0, err
		}
		sum += math.Abs(v) / float64(n)
	}
	return sum, nil
}

// probeBoth fits a softmax probe of each aspect on training rows and says of each test row whether it is right.
func probeBoth(ctx context.Context, g *grid, train, test *mat.Dense) (right [2][]float64, err error) {
	x, err := probe.RowsOf(train)
	if err != nil {
		return right, err
	}
	y, err := probe.RowsOf(test)
	if err != nil {
		return right, err
	}
	for a, name := range aspects {
		classes := make([]string, slices.Max(g.labels[a])+1)
		for i := range classes {
			classes[i] = fmt.Sprint(i)
		}
		fitted, err := probe.Multinomial(ctx, x, []probe.Target{{Name: name, Task: probe.Multiclass, Class: lab.Take(g.labels[a], g.train), Classes: classes}}, probe.DefaultLogistic())
		if err != nil {
			return right, err
		}
		scores, err := fitted[0].Scores(y)
		if err != nil {
			return right, err
		}
		k := len(classes)
		for i, r := range g.test {
			row := scores[i*k : (i+1)*k]
			hit := 0.0
			if slices.Index(row, slices.Max(row)) == g.labels[a][r] {
				hit = 1
			}
			right[a] = append(right[a], hit)
		}
	}
	return right, nil
}

// randomHeads are heads that were not trained.
func randomHeads(width, d int, seed uint64) *custom.Heads {
	rng := rand.New(rand.NewPCG(seed, 0x72616e64)) // "rand"
	h := &custom.Heads{Mean: make([]float64, d)}
	for range aspects {
		w := mat.NewDense(width, d, nil)
		for i := range w.RawMatrix().Data {
			w.RawMatrix().Data[i] = rng.NormFloat64()
		}
		h.Weights = append(h.Weights, w)
	}
	return h
}

func rowsOf(x *mat.Dense, rows []int) *mat.Dense {
	_, d := x.Dims()
	out := mat.NewDense(len(rows), d, nil)
	for i, r := range rows {
		out.SetRow(i, x.RawRowView(r))
	}
	return out
}
