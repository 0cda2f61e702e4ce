// Package sliders asks whether a concept slider, one vector with a dose, works in text as it does in images (arXiv:2311.12092): whether
// the concept rises with the dose, also in prompts of other templates and topics than those that the vector was made from.
package sliders

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

// Config says which sliders are made and tried.
type Config struct {
	study.Base
	Model     string    `json:"model" doc:"language model"`
	Concepts  []string  `json:"concepts" doc:"concepts of the built-in suite, one slider each"`
	Layer     int       `json:"layer" doc:"block after which sliders act"`
	Pairs     int       `json:"pairs" doc:"training pairs of a slider; half as many are held out"`
	Prompts   int       `json:"prompts" doc:"prompts of each kind: training templates, held-out templates, topics"`
	Doses     []float64 `json:"doses" doc:"in units of the distance between the class means"`
	Generated []float64 `json:"generated" doc:"doses at which text is generated; 0 is among them"`
	MaxNew    int       `json:"max_new" doc:"tokens that are generated for each prompt"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "sliders", Doc: "concept sliders in text: dose-response, transfer to other templates and topics (arXiv:2311.12092)", New: newConfig},
		Title: "Concept sliders in text: monotone doses, and transfer",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "sliders", Seed: 1}, Model: "smollm2", Concepts: []string{"food", "animals", "music"}, Layer: 15, Pairs: 100, Prompts: 16,
		Doses: []float64{-8, -4, 0, 4, 8}, Generated: []float64{-8, 0, 4, 8}, MaxNew: 16,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case len(c.Concepts) < 2 || c.Pairs < 10 || c.Prompts < 4 || c.MaxNew < 2:
		return fmt.Errorf("concepts %v, pairs %d, prompts %d, max_new %d; use two concepts, 10 pairs, 4 prompts and 2 tokens or more", c.Concepts, c.Pairs, c.Prompts, c.MaxNew)
	case len(c.Doses) < 3 || !slices.IsSorted(c.Doses) || !slices.IsSorted(c.Generated) || !slices.Contains(c.Generated, 0):
		return fmt.Errorf("doses %v, generated %v; give three doses or more, ascending, and 0 among those generated", c.Doses, c.Generated)
	}
	return nil
}

// The kinds of prompts.
const (
	native  = "training templates"
	heldOut = "held-out templates"
	topical = "topics"
)

// slider is a concept's vector with what measures it.
type slider struct {
	concept  string
	vector   []float64 // mean of the concept's sentences less that of their twins
	shuffled []float64 // the same with shuffled labels, at the same length
	random   []float64 // a random direction of the same length
	probe    []float64 // a logistic probe of the sentences, for generated text
	words    []int32   // first tokens of the concept's held-out words
	others   []int32   // of the held-out twins' words
	lexicon  []int32   // of all the concept's words
	prompts  map[string][][]int32
}

type experiment struct {
	cfg     *Config
	lab     *lab.Lab
	site    model.Site
	sliders []*slider
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	e := &experiment{cfg: c, lab: l, site: model.Site{Kind: model.ResidPost, Layer: c.Layer}}
	if err := e.fit(ctx); err != nil {
		return err
	}
	s.Text("%d sliders after block %d of %s, each the difference of class means over %d pairs of sentences. Doses are in units of that difference. The concept's score is the mean next-token logit of its held-out words less that of the held-out words of their twins.",
		len(e.sliders), c.Layer, c.Model, c.Pairs)
	s.Done("fit")
	if err := e.transfer(ctx, s); err != nil {
		return err
	}
	s.Done("transfer")
	if err := e.offTarget(ctx, s); err != nil {
		return err
	}
	s.Done("off-target")
	defer s.Done("generated")
	return e.generate(ctx, s)
}

// fit makes the sliders.
func (e *experiment) fit(ctx context.Context) error {
	c := e.cfg
	all, err := lab.ConceptSentences(c.Concepts, c.Pairs, c.Pairs/2, c.Seed)
	if err != nil {
		return err
	}
	topics, err := encodeAll(e.lab.Tokenizer, topicPrompts[:min(c.Prompts, len(topicPrompts))])
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x736c6964)) // "slid"
	for _, sentences := range all {
		x, err := e.meanRows(ctx, lab.Take(sentences.Texts, sentences.Split.Train))
		if err != nil {
			return err
		}
		class := lab.Take(sentences.Class, sentences.Split.Train)
		u := &slider{concept: sentences.Concept, prompts: map[string][][]int32{topical: topics}}
		if u.vector, err = vectors.DiffOfMeans(x, class); err != nil {
			return err
		}
		if u.probe, err = fitProbe(ctx, x, class); err != nil {
			return err
		}
		size := floats.Norm(u.vector, 2)
		rng.Shuffle(len(class), func(i, j int) { class[i], class[j] = class[j], class[i] })
		if u.shuffled, err = vectors.DiffOfMeans(x, class); err != nil {
			return err
		}
		floats.Scale(size/floats.Norm(u.shuffled, 2), u.shuffled)
		u.random = make([]float64, len(u.vector))
		for i := range u.random {
			u.random[i] = rng.NormFloat64()
		}
		floats.Scale(size/floats.Norm(u.random, 2), u.random)
		if err := u.fill(e.lab.Tokenizer, sentences, c.Prompts); err != nil {
			return err
		}
		e.sliders = append(e.sliders, u)
	}
	return nil
}

// meanRows are texts' activations, mean over their tokens but the first: decoders give the first token a length of its own, dozens of
// times the others', which would decide the mean.
func (e *experiment) meanRows(ctx context.Context, texts []string) (*mat.Dense, error) {
	out := mat.NewDense(len(texts), e.lab.Model.Spec.DModel, nil)
	err := e.lab.EachText(ctx, texts, []model.Site{e.site}, lab.ReadOptions{}, func(i int, t lab.TextRows) error {
		n, _ := t.Rows[0].Dims()
		if n < 2 {
			return fmt.Errorf("text %d has %d tokens; two are needed", i, n)
		}
		for r := 1; r < n; r++ {
			floats.AddScaled(out.RawRowView(i), 1/float64(n-1), t.Rows[0].RawRowView(r))
		}
		return nil
	})
	return out, err
}

// score is the concept's logit score of prompts with a vector at each dose: [dose][prompt].
func (e *experiment) score(ctx context.Context, of *slider, vector []float64, prompts [][]int32) ([][]float64, error) {
	scorer, err := vectors.LogitScorer(e.lab.Engine, e.lab.Model, of.words, of.others, min(8, len(prompts)))
	if err != nil {
		return nil, err
	}
	var out [][]float64
	for _, dose := range e.cfg.Doses {
		row, err := scorer(ctx, []vectors.Placed{{Site: e.site, Do: vectors.Steering{Vector: vector, Strength: dose}}}, prompts, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

// slopes are each prompt's least-squares slope of the score over doses, and its rank correlation with the dose.
func (e *experiment) slopes(scores [][]float64) (slope, rank []float64, err error) {
	for p := range scores[0] {
		y := make([]float64, len(scores))
		for d := range scores {
			y[d] = scores[d][p]
		}
		_, b := stat.LinearRegression(e.cfg.Doses, y, nil, false)
		slope = append(slope, b)
		r, err := stats.Spearman(e.cfg.Doses, y)
		if err != nil {
			return nil, nil, err
		}
		rank = append(rank, r.R)
	}
	return slope, rank, nil
}

// transfer compares each slider on the three kinds of prompts with its controls.
func (e *experiment) transfer(ctx context.Context, s *study.Session) error {
	t := report.Table{
		Caption: fmt.Sprintf("slope of the concept's score (logits per dose) and mean rank correlation with the dose within a prompt; %d prompts of a kind", e.cfg.Prompts),
		Columns: []report.Column{{Name: "slider"}, {Name: "prompts"}, {Name: "slope"}, {Name: "Spearman"}, {Name: "slope over native"}, {Name: "shuffled labels, slope"}, {Name: "random direction, slope"}},
	}
	for _, u := range e.sliders {
		var base []float64
		for _, kind := range []string{native, heldOut, topical} {
			prompts := u.prompts[kind]
			var slopes [3][]float64
			var rank []float64
			for i, v := range [][]float64{u.vector, u.shuffled, u.random} {
				scores, err := e.score(ctx, u, v, prompts)
				if err != nil {
					return err
				}
				var r []float64
				if slopes[i], r, err = e.slopes(scores); err != nil {
					return err
				}
				if i == 0 {
					rank = r
				}
			}
			if kind == native {
				base = slopes[0]
			}
			cells := []any{u.concept, kind}
			name := u.concept + "." + map[string]string{native: "native", heldOut: "held_out", topical: "topics"}[kind]
			for i, x := range [][]float64{slopes[0], rank, nil, slopes[1], slopes[2]} {
				var got stats.Interval
				var err error
				if i == 2 {
					got, err = ratio(ctx, slopes[0], base, e.cfg.Seed)
				} else {
					got, err = lab.MeanOver(ctx, x, lab.UpTo(len(x)), e.cfg.Seed)
				}
				if err != nil {
					return err
				}
				s.Interval(name+[]string{".slope", ".spearman", ".transfer", ".shuffled_slope", ".random_slope"}[i], got)
				cells = append(cells, lab.Cell(got))
			}
			if kind == topical {
				own := stat.Mean(slopes[0], nil)
				s.Value(u.concept+".control", max(math.Abs(stat.Mean(slopes[1], nil)), math.Abs(stat.Mean(slopes[2], nil)))/own)
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	s.Table("transfer", t)
	return nil
}

// ratio is mean(a) / mean(b) with an interval from resampling both.
func ratio(ctx context.Context, a, b []float64, seed int64) (stats.Interval, error) {
	x, stratum := slices.Concat(a, b), make([]int, len(a)+len(b))
	for i := range b {
		stratum[len(a)+i] = 1
	}
	r, err := stats.BootstrapStrata(ctx, stratum, func(index []int) float64 {
		var sum, n [2]float64
		for _, i := range index {
			sum[stratum[i]] += x[i]
			n[stratum[i]]++
		}
		return sum[0] / n[0] / (sum[1] / n[1])
	}, lab.Bootstrap(seed))
	return r.Interval, err
}

// offTarget is how much each slider moves the other concepts' scores.
func (e *experiment) offTarget(ctx context.Context, s *study.Session) error {
	t := report.Table{Caption: "slope of each concept's score (columns, logits per dose) under each slider (rows), prompts of topics", Columns: []report.Column{{Name: "slider"}}}
	for _, of := range e.sliders {
		t.Columns = append(t.Columns, report.Column{Name: of.concept})
	}
	var own, other []float64
	slopes := mat.NewDense(len(e.sliders), len(e.sliders), nil)
	for i, u := range e.sliders {
		cells := []any{u.concept}
		for j, of := range e.sliders {
			scores, err := e.score(ctx, of, u.vector, u.prompts[topical])
			if err != nil {
				return err
			}
			slope, _, err := e.slopes(scores)
			if err != nil {
				return err
			}
			got, err := lab.MeanOver(ctx, slope, lab.UpTo(len(slope)), e.cfg.Seed)
			if err != nil {
				return err
			}
			cells = append(cells, lab.Cell(got))
			slopes.Set(i, j, got.Value)
			if i == j {
				own = append(own, got.Value)
			} else {
				other = append(other, max(got.Value, -got.Value))
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	s.Table("off_target", t)
	s.Value("off_target.share", stat.Mean(other, nil)/stat.Mean(own, nil))
	return nil
}

// generate measures the words of generated texts, and their fluency.
func (e *experiment) generate(ctx context.Context, s *study.Session) error {
	t := report.Table{
		Caption: fmt.Sprintf("texts of %d tokens after prompts of topics: a probe's score on the unsteered model, the chance that it ranks the text above the unsteered one's, words of the concept, perplexity under the unsteered model, distinct bigrams", e.cfg.MaxNew),
		Columns: []report.Column{{Name: "slider"}, {Name: "dose"}, {Name: "probe"}, {Name: "AUC"}, {Name: "words"}, {Name: "perplexity"}, {Name: "distinct-2"}, {Name: "a text"}},
	}
	cfg := vectors.DefaultDose()
	cfg.Strengths, cfg.MaxNew, cfg.Bootstrap = e.cfg.Generated, e.cfg.MaxNew, lab.Bootstrap(e.cfg.Seed)
	for _, u := range e.sliders {
		prompts := u.prompts[topical]
		lexicon, err := vectors.LexiconScorer(u.lexicon)
		if err != nil {
			return err
		}
		curve, err := vectors.DoseResponse(ctx, e.lab.Engine, e.lab.Model, prompts, func(strength float64) ([]vectors.Placed, error) {
			return []vectors.Placed{{Site: e.site, Do: vectors.Steering{Vector: u.vector, Strength: strength}}}, nil
		}, vectors.ProbeScorer(e.lab.Engine, e.lab.Model, e.site, u.probe, 0, 8), cfg)
		if err != nil {
			return err
		}
		plain := curve.Doses[slices.Index(cfg.Strengths, 0)]
		var auc stats.Interval
		for _, d := range curve.Doses {
			text, err := e.lab.Tokenizer.Decode(slices.Concat(prompts[0], d.Outputs[0]), true)
			if err != nil {
				return err
			}
			share, err := lexicon(ctx, nil, prompts, d.Outputs)
			if err != nil {
				return err
			}
			positive := make([]bool, 2*len(prompts))
			for i := range prompts {
				positive[i] = true
			}
			if auc, err = stats.AUCNewcombe(slices.Concat(d.Concepts, plain.Concepts), positive, lab.Level); err != nil {
				return err
			}
			t.Rows = append(t.Rows, []any{u.concept, d.Strength, lab.Cell(d.Concept), lab.Cell(auc), stat.Mean(share, nil), lab.Cell(d.Perplexity), lab.Cell(d.Distinct), fmt.Sprintf("%q", text)})
		}
		top := curve.Doses[len(curve.Doses)-1]
		s.Interval(u.concept+".generated.auc", auc)
		s.Value(u.concept+".generated.spearman", curve.Spearman)
		s.Value(u.concept+".generated.perplexity_ratio", top.Perplexity.Value/plain.Perplexity.Value)
		s.Interval(u.concept+".generated.distinct", top.Distinct)
	}
	s.Table("generated", t)
	return nil
}

// fitProbe is a logistic probe's direction.
func fitProbe(ctx context.Context, x *mat.Dense, class []int) ([]float64, error) {
	f, err := vectors.FitMethod(ctx, vectors.MethodLogistic, x, vectors.Labels{Class: class, K: 2}, vectors.DefaultMethodConfig())
	if err != nil {
		return nil, err
	}
	return mat.Row(nil, 0, f.Directions), nil
}

func encodeAll(t *token.Tokenizer, texts []string) ([][]int32, error) {
	var out [][]int32
	for _, text := range texts {
		encoded, err := t.Encode(text, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return nil, err
		}
		out = append(out, encoded.IDs)
	}
	return out, nil
}
