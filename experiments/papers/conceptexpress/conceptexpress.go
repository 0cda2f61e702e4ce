// Package conceptexpress asks whether ConceptExpress's split and merge of concept tokens (arXiv:2407.07077) recovers planted concepts from
// mixed embeddings better than one token a concept.
package conceptexpress

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
	"loupe/vectors"
)

// Config says what is planted and how it is recovered.
type Config struct {
	study.Base
	Model    string                  `json:"model" doc:"text encoder"`
	Planted  []string                `json:"planted" doc:"concepts to recover, which go behind the article a"`
	Together int                     `json:"together" doc:"how many of them are planted together, in their order"`
	Others   []string                `json:"others" doc:"further concepts that a recovered one can be mistaken for"`
	Seeds    int                     `json:"seeds" doc:"mixtures and first tokens of each set"`
	Mix      float64                 `json:"mix" doc:"share of the other concepts of its set in a target"`
	Learn    custom.SplitMergeConfig `json:"learn" doc:"of split and merge; the controls differ where they say"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "conceptexpress", Doc: "planted concepts from mixed embeddings by split and merge of tokens (arXiv:2407.07077)", New: newConfig},
		Title: "ConceptExpress: does split and merge recover planted concepts from mixed embeddings?",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "conceptexpress", Seed: 1}, Model: "minilm",
		Planted: []string{"dog", "castle", "train", "balloon", "cat", "bridge", "bicycle", "lighthouse"}, Together: 4,
		Others: []string{"rabbit", "windmill", "lorry", "boat", "parrot", "church", "parachute", "penguin"},
		Seeds:  2, Mix: 0.4, Learn: custom.DefaultSplitMerge(),
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if c.Seeds < 1 || c.Mix < 0 || c.Mix >= 1 || c.Learn.Tokens < 2 {
		return fmt.Errorf("seeds %d, mix %v, tokens %d; use one seed, a share below 1 and two tokens or more", c.Seeds, c.Mix, c.Learn.Tokens)
	}
	if c.Together < 2 || len(c.Planted) == 0 || len(c.Planted)%c.Together != 0 {
		return fmt.Errorf("%d planted concepts, %d together; plant two or more together, in sets that are full", len(c.Planted), c.Together)
	}
	if len(c.Planted)/c.Together*c.Seeds < 2 {
		return fmt.Errorf("%d set of %d concepts and %d seed; intervals need two draws", len(c.Planted)/c.Together, c.Together, c.Seeds)
	}
	return c.Learn.Validate()
}

// phrases hold the new word in training, the held-out ones in evaluation; targets come from the first.
var (
	phrases = []string{"a photo of a <new1>", "an image of a <new1>"}
	heldOut = []string{"there is a <new1> in this scene", "a poster that shows a <new1>"}
)

// concepts are the classes that recovered words are told apart by.
type concepts struct {
	names     []string
	zero      *erase.ZeroShot // of the held-out phrases
	planted   *mat.Dense      // mean embedding of each in the training phrases [n, d]
	prototype *mat.Dense      // mean embedding in the held-out phrases less the mean over concepts [n, d]
	mean      []float64       // that mean
	phrase    []float64       // mean over concepts in the held-out phrases less that in the training ones
}

func newConcepts(ctx context.Context, e *encoder.Encoder, c *Config) (*concepts, error) {
	u := &concepts{names: slices.Concat(c.Planted, c.Others)}
	embed := func(patterns []string) (*mat.Dense, []*mat.Dense, error) {
		means := mat.NewDense(len(u.names), e.Width(), nil)
		var all []*mat.Dense
		var texts []string
		for _, name := range u.names {
			for _, p := range patterns {
				texts = append(texts, strings.ReplaceAll(p, custom.NewWord, name))
			}
		}
		x, err := e.Embed(ctx, nil, texts)
		if err != nil {
			return nil, nil, err
		}
		for i := range u.names {
			part := mat.DenseCopyOf(x.Slice(i*len(patterns), (i+1)*len(patterns), 0, e.Width()))
			all = append(all, part)
			for r := range len(patterns) {
				floats.AddScaled(means.RawRowView(i), 1/float64(len(patterns)), part.RawRowView(r))
			}
		}
		return means, all, nil
	}
	var err error
	if u.planted, _, err = embed(phrases); err != nil {
		return nil, err
	}
	prototype, classes, err := embed(heldOut)
	if err != nil {
		return nil, err
	}
	u.mean = make([]float64, e.Width())
	for i := range u.names {
		floats.AddScaled(u.mean, 1/float64(len(u.names)), prototype.RawRowView(i))
	}
	u.phrase = slices.Clone(u.mean)
	for i := range u.names {
		floats.AddScaled(u.phrase, -1/float64(len(u.names)), u.planted.RawRowView(i))
	}
	u.prototype = less(prototype, u.mean)
	u.zero, err = erase.NewZeroShot(classes)
	return u, err
}

func less(x *mat.Dense, mean []float64) *mat.Dense {
	out := mat.DenseCopyOf(x)
	n, _ := x.Dims()
	for i := range n {
		floats.Sub(out.RawRowView(i), mean)
	}
	return out
}

// mixtures are targets [k, d] of the concepts of a set: each is (1 - mix) of its own concept and mix of the others, in random shares.
func (u *concepts) mixtures(set []int, mix float64, rng *rand.Rand) *mat.Dense {
	_, d := u.planted.Dims()
	out := mat.NewDense(len(set), d, nil)
	for i, own := range set {
		row := out.RawRowView(i)
		floats.AddScaled(row, 1-mix, u.planted.RawRowView(own))
		shares := make([]float64, len(set))
		for j := range shares {
			if j != i {
				shares[j] = rng.ExpFloat64()
			}
		}
		total := floats.Sum(shares)
		for j, s := range shares {
			floats.AddScaled(row, mix*s/total, u.planted.RawRowView(set[j]))
		}
	}
	return out
}

// way is a way to recover the concepts.
type way struct {
	label, number string
	cfg           custom.SplitMergeConfig
}

func (c *Config) ways() []way {
	split, single := c.Learn, c.Learn
	split.Weight = 0
	single.Tokens = 1
	return []way{
		{fmt.Sprintf("%d tokens, merged, contrast", c.Learn.Tokens), "splitmerge", c.Learn},
		{fmt.Sprintf("%d tokens, merged", c.Learn.Tokens), "split", split},
		{"one token", "single", single},
	}
}

// score is what a set's words recover.
type score struct {
	cosine     []float64 // of each word with the concept that it is matched with, both less the mean concept
	own        []float64 // 1 where the match is the concept that leads the word's target
	recognised []float64 // 1 where, among all concepts, the match is the nearest
}

func (u *concepts) score(x *mat.Dense, set []int) (*score, error) {
	planted := mat.NewDense(len(set), len(u.mean), nil)
	for i, at := range set {
		planted.SetRow(i, u.prototype.RawRowView(at))
	}
	partner, cosine, err := vectors.MatchCosines(less(x, u.mean), planted, false)
	if err != nil {
		return nil, err
	}
	classes, err := u.zero.Predict(x)
	if err != nil {
		return nil, err
	}
	out := &score{cosine: cosine, own: make([]float64, len(set)), recognised: make([]float64, len(set))}
	for i, j := range partner {
		if i == j {
			out.own[i] = 1
		}
		if classes[i] == set[j] {
			out.recognised[i] = 1
		}
	}
	return out, nil
}

// embed is the mean embedding [k, d] of words [k, d] in the held-out phrases.
func embed(ctx context.Context, e *encoder.Encoder, prompts []custom.Prompt, words *mat.Dense) (*mat.Dense, error) {
	k, d := words.Dims()
	var soft []*encoder.Soft
	for i := range k {
		for _, p := range prompts {
			soft = append(soft, p.Soft(words.RawRowView(i)))
		}
	}
	states, err := e.SoftStates(ctx, nil, soft)
	if err != nil {
		return nil, err
	}
	x, err := e.Rows(states)
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(k, d, nil)
	for i := range soft {
		floats.AddScaled(out.RawRowView(i/len(prompts)), 1/float64(len(prompts)), x.RawRowView(i))
	}
	return out, nil
}

// problem is a set with one draw of mixtures and first tokens.
type problem struct {
	set     []int // indices of its concepts
	targets *mat.Dense
	start   *mat.Dense // [k*tokens, d]
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
	u, err := newConcepts(ctx, e, c)
	if err != nil {
		return err
	}
	vocabulary, err := e.Tokens("small house tree water music road paper light table stone garden window river bread") // words that tokens start like
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x65787072)) // "expr"
	var problems []problem
	for first := 0; first < len(c.Planted); first += c.Together {
		set := make([]int, c.Together)
		for i := range set {
			set[i] = first + i
		}
		for range c.Seeds {
			p := problem{set: set, targets: u.mixtures(set, c.Mix, rng)}
			if p.start, err = custom.RandomWords(e, len(set)*c.Learn.Tokens, vocabulary.IDs[1:vocabulary.Len()-1], rng); err != nil {
				return err
			}
			problems = append(problems, p)
		}
	}
	s.Done("plant")
	prompts, err := custom.Prompts(e, phrases)
	if err != nil {
		return err
	}
	var runs []*custom.Inversion // [way][problem]
	for _, w := range c.ways() {
		for i, p := range problems {
			start := p.start
			if w.cfg.Tokens == 1 { // the first token of each concept
				start = everyNth(p.start, c.Learn.Tokens)
			}
			r, err := custom.NewInversion(p.targets, start, w.cfg, uint64(c.Seed)+uint64(i))
			if err != nil {
				return err
			}
			runs = append(runs, r)
		}
	}
	if err := custom.Invert(ctx, e, prompts, runs); err != nil {
		return err
	}
	s.Done("invert")
	defer s.Done("score")
	return tabulate(ctx, s, c, e, u, problems, runs)
}

// everyNth are rows 0, n, 2n ... of x.
func everyNth(x *mat.Dense, n int) *mat.Dense {
	rows, d := x.Dims()
	out := mat.NewDense(rows/n, d, nil)
	for i := range rows / n {
		out.SetRow(i, x.RawRowView(i*n))
	}
	return out
}

func tabulate(ctx context.Context, s *study.Session, c *Config, e *encoder.Encoder, u *concepts, problems []problem, runs []*custom.Inversion) error {
	held, err := custom.Prompts(e, heldOut)
	if err != nil {
		return err
	}
	table := report.Table{
		Caption: fmt.Sprintf("%d planted concepts (%d sets, %d draws each), targets with %.0f %% of others; held-out phrases, matched by the Hungarian method; intervals draw concepts in whole draws of a set", len(problems)*c.Together, len(c.Planted)/c.Together, c.Seeds, 100*c.Mix),
		Columns: []report.Column{{Name: "words"}, {Name: "loss, first step"}, {Name: "loss, last step"}, {Name: "matched cosine"}, {Name: "matched with its own"}, {Name: fmt.Sprintf("nearest of %d", len(u.names))}},
	}
	cosines := make(map[string][]float64)
	var cluster []int
	for i, p := range problems {
		for range p.set {
			cluster = append(cluster, i)
		}
	}
	add := func(label, number string, first, last any, of func(i int) (*mat.Dense, error)) error {
		all := &score{}
		for i, p := range problems {
			x, err := of(i)
			if err != nil {
				return err
			}
			got, err := u.score(x, p.set)
			if err != nil {
				return err
			}
			all.cosine, all.own, all.recognised = append(all.cosine, got.cosine...), append(all.own, got.own...), append(all.recognised, got.recognised...)
		}
		cosines[number] = all.cosine
		cells := []any{label, first, last}
		for _, v := range []struct {
			name string
			x    []float64
		}{{"cosine", all.cosine}, {"own", all.own}, {"recognised", all.recognised}} {
			i, err := lab.MeanOver(ctx, v.x, cluster, c.Seed)
			if err != nil {
				return err
			}
			s.Interval(number+"."+v.name, i)
			cells = append(cells, lab.Cell(i))
		}
		table.Rows = append(table.Rows, cells)
		return nil
	}
	for w, way := range c.ways() {
		of := runs[w*len(problems) : (w+1)*len(problems)]
		first, last := 0.0, 0.0
		for _, r := range of {
			first, last = first+r.Loss[0]/float64(len(of)), last+r.Loss[len(r.Loss)-1]/float64(len(of))
		}
		if err := add(way.label, way.number, first, last, func(i int) (*mat.Dense, error) { return embed(ctx, e, held, of[i].Words) }); err != nil {
			return err
		}
	}
	err = add("random, not trained", "random", nil, nil, func(i int) (*mat.Dense, error) {
		return embed(ctx, e, held, everyNth(problems[i].start, c.Learn.Tokens))
	})
	if err != nil {
		return err
	}
	if err := add("the mixed targets themselves", "targets", nil, nil, func(i int) (*mat.Dense, error) {
		return less(problems[i].targets, floats.ScaleTo(make([]float64, len(u.phrase)), -1, u.phrase)), nil // as if in the held-out phrases
	}); err != nil {
		return err
	}
	s.Table("recovered", table)
	for _, against := range []string{"split", "single", "random"} {
		var i stats.Interval
		if i, err = lab.MeanOver(ctx, lab.Minus(cosines["splitmerge"], cosines[against]), cluster, c.Seed); err != nil {
			return err
		}
		s.Interval("gain_over_"+against, i)
		s.Text("Matched cosine of split and merge with contrast less that of %s: %s.", against, lab.Short(i))
	}
	return nil
}
