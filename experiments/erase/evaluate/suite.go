package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
)

// Suite is an encoder with the prompts of a domain and what the original encoder makes of them. It may be used from one goroutine at a
// time.
type Suite struct {
	cfg     Config
	e       *encoder.Encoder
	domain  []method.Target // all concepts of the domain
	cross   []method.Target
	grid    []crossed
	heldOut []string // ordinary sentences

	texts    []string
	at       map[string]int
	states   []*encoder.State // of the original encoder
	x        *mat.Dense       // their embeddings
	kv       *mat.Dense       // [o, d], nil for none
	zero     *erase.ZeroShot  // of the domain
	other    *erase.ZeroShot  // of the other domain
	controls map[string]*Row  // rows that the verdicts compare with
	people   *Suite           // fictional people, for sets that are erased at once
	names    []method.Target
}

// crossed is a text with a concept of each domain.
type crossed struct {
	text          string
	concept, with int
}

// NewSuite reads the prompts with the original encoder.
func NewSuite(ctx context.Context, e *encoder.Encoder, cfg Config) (*Suite, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	all := cfg.Task
	all.Erase = nil
	t, err := method.NewTask(all)
	if err != nil {
		return nil, err
	}
	for _, name := range cfg.Task.Erase {
		if !slices.ContainsFunc(t.Erase, func(c method.Target) bool { return c.Name == name }) {
			return nil, fmt.Errorf("evaluate: domain %s has no concept %q", cfg.Task.Domain, name)
		}
	}
	s := &Suite{cfg: cfg, e: e, domain: t.Erase, cross: t.Cross, heldOut: t.HeldOut, controls: map[string]*Row{}}
	for i, c := range s.domain {
		for j, o := range s.cross[:min(cfg.Grid, len(s.cross))] {
			s.grid = append(s.grid, crossed{gridText(cfg.Task, c, o), i, j})
		}
	}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	if cfg.Generated > 0 {
		err = s.addPeople(ctx)
	}
	return s, err
}

// ReadWith sets the K/V stack [o, d] that reads the embeddings, for the K/V errors. Set it before the first row.
func (s *Suite) ReadWith(kv *mat.Dense) error {
	if _, d := kv.Dims(); d != s.e.Width() {
		return fmt.Errorf("evaluate: the K/V stack reads embeddings of width %d, the encoder's have %d", d, s.e.Width())
	}
	s.kv = kv
	return nil
}

// With is the suite with other numbers of seeds, concepts to erase, and people at once; a zero value leaves what is there, and
// together [0] means none. It shares what was read.
func (s *Suite) With(seeds int, concepts []string, together []int) *Suite {
	out := *s
	if seeds > 0 {
		out.cfg.Seeds = seeds
	}
	if len(concepts) > 0 {
		out.cfg.Task.Erase = concepts
	}
	if len(together) > 0 {
		out.cfg.Together = nil
		if together[0] != 0 {
			out.cfg.Together = together
		}
	}
	return &out
}

// gridText names a concept of each domain in one sentence.
func gridText(t method.TaskConfig, c, other method.Target) string {
	switch {
	case t.Cross == "styles":
		return c.Held[0] + ", in the style of " + other.Name
	case t.Domain == "styles":
		return other.Held[0] + ", in the style of " + c.Name
	}
	return c.Held[0] + ", with " + other.Name
}

// read runs the original encoder over every text of the suite.
func (s *Suite) read(ctx context.Context) error {
	s.at = map[string]int{}
	add := func(texts ...string) {
		for _, t := range texts {
			if _, in := s.at[t]; !in {
				s.at[t] = len(s.texts)
				s.texts = append(s.texts, t)
			}
		}
	}
	for _, list := range [][]method.Target{s.domain, s.cross} {
		for _, c := range list {
			add(c.Fit...)
			add(c.Held...)
			add(slices.Concat(c.SynonymHeld...)...)
			add(c.Descriptions...)
		}
	}
	for _, c := range s.domain {
		add(c.AnchorFit...)
	}
	for _, g := range s.grid {
		add(g.text)
	}
	add(s.heldOut...)
	var err error
	if s.states, err = s.e.States(ctx, nil, s.texts); err != nil {
		return err
	}
	if s.x, err = s.e.Rows(s.states); err != nil {
		return err
	}
	if s.zero, err = s.prototypes(s.domain); err != nil {
		return err
	}
	s.other, err = s.prototypes(s.cross)
	return err
}

func (s *Suite) prototypes(list []method.Target) (*erase.ZeroShot, error) {
	var classes []*mat.Dense
	for _, c := range list {
		classes = append(classes, s.before(c.Fit))
	}
	return erase.NewZeroShot(classes)
}

// before are the original encoder's embeddings of texts of the suite.
func (s *Suite) before(texts []string) *mat.Dense {
	out := mat.NewDense(len(texts), s.e.Width(), nil)
	for i, t := range texts {
		out.SetRow(i, s.x.RawRowView(s.at[t]))
	}
	return out
}

// edited is what a variant makes of texts of the suite.
type edited struct {
	row         map[string]int
	x           *mat.Dense
	acted, same []bool // the hook acted; the states are the same bits
}

// edit embeds texts of the suite with a variant, each once.
func (s *Suite) edit(ctx context.Context, v *encoder.Variant, texts []string) (*edited, error) {
	out := &edited{row: map[string]int{}}
	var unique []string
	for _, t := range texts {
		if _, in := out.row[t]; !in {
			out.row[t] = len(unique)
			unique = append(unique, t)
		}
	}
	out.acted, out.same = make([]bool, len(unique)), make([]bool, len(unique))
	weights := v.Params != nil || v.PerText != nil
	before := s.before(unique)
	switch hook := v.Hook.(type) {
	case encoder.Linear, encoder.Affine:
		if weights || v.Layer != s.e.Layers() {
			break
		}
		// linear in a state, so that it may as well act on the embedding
		x, _, err := hook.Apply(erase.Text{X: before, Length: len(unique)})
		if err != nil {
			return nil, err
		}
		out.x = x
		for i := range unique {
			out.acted[i], out.same[i] = true, identical(x.RawRowView(i), before.RawRowView(i))
		}
		return out, nil
	}
	states := make([]*encoder.State, len(unique))
	switch {
	case !weights && v.Hook == nil:
		for i, t := range unique {
			states[i] = s.states[s.at[t]]
		}
	case !weights && v.Layer == s.e.Layers():
		for i, t := range unique {
			was := s.states[s.at[t]]
			x, acted, err := v.Hook.Apply(was.Text())
			if err != nil {
				return nil, fmt.Errorf("evaluate: %q: %w", t, err)
			}
			states[i] = &encoder.State{Encoding: was.Encoding, X: x, Acted: acted}
		}
	default:
		var err error
		if states, err = s.e.States(ctx, v, unique); err != nil {
			return nil, err
		}
	}
	for i, t := range unique {
		out.acted[i] = states[i].Acted
		out.same[i] = identical(states[i].X.RawMatrix().Data, s.states[s.at[t]].X.RawMatrix().Data)
	}
	var err error
	out.x, err = s.e.Rows(states)
	return out, err
}

// Recognised counts the held-out prompts of concepts of the domain that prototypes of the original encoder still recognise.
func (s *Suite) Recognised(ctx context.Context, v *encoder.Variant, concepts []string) (erase.Share, error) {
	var share erase.Share
	var texts []string
	var labels []int
	for i, t := range s.domain {
		if !slices.Contains(concepts, t.Name) {
			continue
		}
		for _, prompt := range t.Held {
			texts, labels = append(texts, prompt), append(labels, i)
		}
	}
	if len(texts) == 0 {
		return share, fmt.Errorf("evaluate: domain %s has none of %v", s.cfg.Task.Domain, concepts)
	}
	out, err := s.edit(ctx, v, texts)
	if err != nil {
		return share, err
	}
	p, err := s.zero.Predict(out.rows(texts))
	for i := range p {
		share.N++
		if p[i] == labels[i] {
			share.Hits++
		}
	}
	return share, err
}

// rows are the embeddings of some of the texts.
func (o *edited) rows(texts []string) *mat.Dense {
	_, d := o.x.Dims()
	out := mat.NewDense(len(texts), d, nil)
	for i, t := range texts {
		out.SetRow(i, o.x.RawRowView(o.row[t]))
	}
	return out
}

func identical(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}
