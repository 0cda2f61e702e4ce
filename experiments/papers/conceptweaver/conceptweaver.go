// Package conceptweaver asks in which layer of a text encoder a concept's words tell, by what removing them changes (differential
// probing, ConceptWeaver), and whether the offsets steer texts without them.
package conceptweaver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/custom"
	"loupe/experiments/erase/encoder"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/vectors"
)

// Config says which concepts are probed.
type Config struct {
	study.Base
	Model     string   `json:"model" doc:"text encoder"`
	Objects   []string `json:"objects" doc:"concepts of one kind, which go behind the article a"`
	Styles    []string `json:"styles" doc:"concepts of the other kind, as many"`
	Templates []string `json:"templates" doc:"prompts with {object} and {style}, and words that are neither"`
	Carriers  []string `json:"carriers" doc:"texts without a concept, which are steered"`
	Strength  float64  `json:"strength" doc:"of steering, in lengths of a concept's offset"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "conceptweaver", Doc: "what removing a concept's words changes in each layer, and the offsets as steering vectors", New: newConfig},
		Title: "ConceptWeaver: which layer carries which kind of concept, and do the offsets steer?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "conceptweaver", Seed: 1}, Model: "minilm",
		Objects:   []string{"dog", "cat", "horse", "castle", "lighthouse", "bridge", "train", "bicycle", "balloon", "boat"},
		Styles:    []string{"impressionism", "cubism", "surrealism", "romanticism", "pointillism", "mosaic", "fresco", "etching", "watercolour", "linocut"},
		Templates: []string{"today we saw a large {object} in the style of {style}", "somebody showed me {style} with a small {object} in it", "here is a {object} that was done as {style}"},
		Carriers:  []string{"a picture of something", "we saw this today", "somebody made it by hand", "there is a new one on the wall", "he showed me what he likes", "this is what they found"},
		Strength:  2,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Objects) < 3 || len(c.Styles) != len(c.Objects) || len(c.Templates) == 0 || len(c.Carriers) == 0 || c.Strength <= 0 {
		return fmt.Errorf("%d objects, %d styles, %d templates, %d carriers, strength %v; use three objects or more, as many styles, one of the others and a positive strength",
			len(c.Objects), len(c.Styles), len(c.Templates), len(c.Carriers), c.Strength)
	}
	for _, t := range c.Templates {
		if strings.Count(t, "{object}") != 1 || strings.Count(t, "{style}") != 1 || len(strings.Fields(t)) < 4 {
			return fmt.Errorf("template %q; it needs {object} and {style} once each, and other words", t)
		}
	}
	return nil
}

// The kinds of concept.
const (
	objects = iota
	styles
)

var kindNames = [2]string{"objects", "styles"}

// prompt is a text with both kinds of concept, and the same text less each of them and less another word.
type prompt struct {
	concept [2]int // of either kind
	full    string
	less    [2]string
	control string
}

// prompts puts every object with every second style into the templates; rng draws the control's word.
func (c *Config) prompts(rng *rand.Rand) []prompt {
	var out []prompt
	for o, object := range c.Objects {
		for s, style := range c.Styles {
			if (o+s)%2 != 0 {
				continue
			}
			for _, t := range c.Templates {
				out = append(out, newPrompt(t, [2]string{object, style}, [2]int{o, s}, rng))
			}
		}
	}
	return out
}

func newPrompt(template string, names [2]string, concept [2]int, rng *rand.Rand) prompt {
	words := strings.Fields(template)
	var plain []int
	for i, w := range words {
		if !strings.Contains(w, "{") {
			plain = append(plain, i)
		}
	}
	drop := plain[rng.IntN(len(plain))]
	fill := func(words []string) string {
		return strings.NewReplacer("{object}", names[objects], "{style}", names[styles]).Replace(strings.Join(words, " "))
	}
	without := func(mark string) string {
		return fill(slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.Contains(w, mark) }))
	}
	return prompt{
		concept: concept, full: fill(words), less: [2]string{without("{object}"), without("{style}")},
		control: fill(slices.Delete(slices.Clone(words), drop, drop+1)),
	}
}

// subject is the encoder with its layers' sites.
type subject struct {
	cfg     *Config
	lab     *lab.Lab
	encoder *encoder.Encoder
	sites   []model.Site // embeddings, after each block, final states
	prompts []prompt
	rng     *rand.Rand
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	u := &subject{cfg: c, lab: l, rng: rand.New(rand.NewPCG(uint64(c.Seed), 0x77656176))} // "weav"
	if u.encoder, err = encoder.New(l.Engine, l.Model, l.Tokenizer, ""); err != nil {
		return err
	}
	for layer := range u.encoder.Layers() + 1 {
		site, err := u.encoder.Site(layer)
		if err != nil {
			return err
		}
		u.sites = append(u.sites, site)
	}
	u.prompts = c.prompts(u.rng)
	found, err := u.layers(ctx, s)
	if err != nil {
		return err
	}
	s.Done("layers")
	defer s.Done("steering")
	for kind, d := range found {
		if err := u.steer(ctx, s, kind, d); err != nil {
			return err
		}
	}
	return nil
}

// layers compares the prompts with and without each kind of concept in every layer.
func (u *subject) layers(ctx context.Context, s *study.Session) (found [2]*custom.Differential, err error) {
	read := func(of func(p prompt) string) ([]*mat.Dense, error) {
		return u.lab.Read(ctx, lab.Column(u.prompts, of), u.sites, lab.MeanToken, lab.ReadOptions{})
	}
	full, err := read(func(p prompt) string { return p.full })
	if err != nil {
		return found, err
	}
	compare := func(of func(p prompt) string) (*custom.Differential, error) {
		less, err := read(of)
		if err != nil {
			return nil, err
		}
		return custom.ProbeDifferences(full, less)
	}
	for kind := range found {
		if found[kind], err = compare(func(p prompt) string { return p.less[kind] }); err != nil {
			return found, err
		}
	}
	control, err := compare(func(p prompt) string { return p.control })
	if err != nil {
		return found, err
	}
	return found, u.report(ctx, s, found, control)
}

func (u *subject) report(ctx context.Context, s *study.Session, found [2]*custom.Differential, control *custom.Differential) error {
	c := u.cfg
	var above [2][][]float64
	for kind := range found {
		var err error
		if above[kind], err = found[kind].Above(control); err != nil {
			return err
		}
	}
	cluster := lab.Column(u.prompts, func(p prompt) int { return p.concept[objects]*len(c.Styles) + p.concept[styles] })
	table := report.Table{
		Caption: fmt.Sprintf("Relative change of the mean token in each layer when words are removed, over %d prompts; intervals draw pairs of concepts", len(u.prompts)),
		Columns: []report.Column{{Name: "layer"}, {Name: "object removed"}, {Name: "style removed"}, {Name: "another word removed"}, {Name: "object less other"}, {Name: "style less other"}},
	}
	for layer := range u.sites {
		cells := []any{u.layerName(layer)}
		for _, x := range [][]float64{found[objects].Shift[layer], found[styles].Shift[layer], control.Shift[layer], above[objects][layer], above[styles][layer]} {
			i, err := lab.MeanOver(ctx, x, cluster, c.Seed)
			if err != nil {
				return err
			}
			cells = append(cells, lab.Cell(i))
		}
		table.Rows = append(table.Rows, cells)
	}
	s.Table("layers", table)
	var peaks [2][]float64 // each prompt's layer of the largest shift above the control
	for kind, name := range kindNames {
		for i := range u.prompts {
			column := make([]float64, len(u.sites))
			for layer := range column {
				column[layer] = above[kind][layer][i]
			}
			peaks[kind] = append(peaks[kind], float64(floats.MaxIdx(column)))
		}
		peak := custom.Peak(above[kind])
		last, err := lab.MeanOver(ctx, above[kind][peak], cluster, c.Seed)
		if err != nil {
			return err
		}
		mean, err := lab.MeanOver(ctx, peaks[kind], cluster, c.Seed)
		if err != nil {
			return err
		}
		rise, err := lab.MeanOver(ctx, lab.Minus(above[kind][peak], above[kind][0]), cluster, c.Seed)
		if err != nil {
			return err
		}
		s.Interval(name+".above", last)
		s.Interval(name+".peak", mean)
		s.Interval(name+".rise", rise)
		s.Text("%s: the largest mean change above the control is %s, in %s; a prompt's own peak is at layer %s on average.", name, lab.Short(last), u.layerName(peak), lab.Short(mean))
	}
	apart, err := lab.MeanOver(ctx, lab.Minus(peaks[styles], peaks[objects]), cluster, c.Seed)
	if err != nil {
		return err
	}
	s.Interval("peak_apart", apart)
	return nil
}

func (u *subject) layerName(layer int) string {
	switch layer {
	case 0:
		return "0 (embeddings)"
	case len(u.sites) - 1:
		return fmt.Sprintf("%d (final)", layer)
	}
	return fmt.Sprint(layer)
}

// steer adds each concept's offset to texts without a concept at each layer before the last block, and counts the texts that are then
// recognised as the concept among those of its kind.
func (u *subject) steer(ctx context.Context, s *study.Session, kind int, found *custom.Differential) error {
	c := u.cfg
	names := [2][]string{c.Objects, c.Styles}[kind]
	var classes []*mat.Dense
	for _, name := range names {
		text := "a photo of a " + name
		if kind == styles {
			text = "art in the style of " + name
		}
		x, err := u.encoder.Embed(ctx, nil, []string{text})
		if err != nil {
			return err
		}
		classes = append(classes, x)
	}
	zero, err := erase.NewZeroShot(classes)
	if err != nil {
		return err
	}
	layers := len(u.sites) - 1
	hits, random := make([][]float64, layers), make([][]float64, layers) // [layer][concept x carrier]
	var cluster []int
	for k := range names {
		for range c.Carriers {
			cluster = append(cluster, k)
		}
	}
	for layer := range layers {
		for k := range names {
			var of []int
			for i, p := range u.prompts {
				if p.concept[kind] == k {
					of = append(of, i)
				}
			}
			offset, err := found.Steering(layer, of)
			if err != nil {
				return err
			}
			noise := make([]float64, len(offset))
			for j := range noise {
				noise[j] = u.rng.NormFloat64()
			}
			floats.Scale(floats.Norm(offset, 2)/floats.Norm(noise, 2), noise)
			for _, v := range []struct {
				vector []float64
				to     *[]float64
			}{{offset, &hits[layer]}, {noise, &random[layer]}} {
				right, err := u.recognised(ctx, zero, layer, v.vector, k)
				if err != nil {
					return err
				}
				*v.to = append(*v.to, right...)
			}
		}
	}
	table := report.Table{
		Caption: fmt.Sprintf("Share of %d steered texts that are recognised as the concept, of %d %s; chance %.2f; intervals draw concepts", len(cluster), len(names), kindNames[kind], 1/float64(len(names))),
		Columns: []report.Column{{Name: "layer"}, {Name: "offset"}, {Name: "random, as long"}, {Name: "difference"}},
	}
	var rates []stats.Interval
	best := 0
	for layer := range layers {
		row := []any{u.layerName(layer)}
		for _, x := range [][]float64{hits[layer], random[layer], lab.Minus(hits[layer], random[layer])} {
			i, err := lab.MeanOver(ctx, x, cluster, c.Seed)
			if err != nil {
				return err
			}
			row, rates = append(row, lab.Cell(i)), append(rates, i)
		}
		table.Rows = append(table.Rows, row)
		if rates[3*layer].Value > rates[3*best].Value {
			best = layer
		}
	}
	s.Table("steering "+kindNames[kind], table)
	peak := min(custom.Peak(found.Shift), layers-1) // the final states are behind every block
	s.Interval(kindNames[kind]+".steered", rates[3*peak])
	s.Interval(kindNames[kind]+".steered_less_random", rates[3*peak+2])
	atPeak, err := lab.MeanOver(ctx, lab.Minus(hits[peak], hits[best]), cluster, c.Seed)
	if err != nil {
		return err
	}
	s.Interval(kindNames[kind]+".steered_peak_less_best", atPeak)
	s.Text("%s: the change is largest at layer %d of those that can be steered; steering does best at layer %d.", kindNames[kind], peak, best)
	return nil
}

// recognised says of each carrier whether, with a vector added at a layer, it is recognised as class k.
func (u *subject) recognised(ctx context.Context, zero *erase.ZeroShot, layer int, vector []float64, k int) ([]float64, error) {
	site := u.sites[layer]
	x, err := u.lab.Read(ctx, u.cfg.Carriers, u.sites[len(u.sites)-1:], lab.MeanToken, lab.ReadOptions{
		Batch: len(u.cfg.Carriers),
		Edit: func(batch, seq int) (*vectors.Edit, error) {
			return vectors.Steering{Vector: vector, Strength: u.cfg.Strength}.Edit(u.lab.Model.Spec, site, batch, seq)
		},
	})
	if err != nil {
		return nil, err
	}
	classes, err := zero.Predict(x[0])
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(classes))
	for i, got := range classes {
		if got == k {
			out[i] = 1
		}
	}
	return out, nil
}
