// Package introspection injects concepts into a model's activations and asks what notices: the model's own answer, and a linear monitor
// further up that has never seen the concept (arXiv:2603.21396).
package introspection

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

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

// Config says what is injected where, and what reads it.
type Config struct {
	study.Base
	Model    string    `json:"model" doc:"language model with a chat template"`
	Concepts int       `json:"concepts" doc:"concepts that the monitor is fitted on, and as many held out"`
	Prompts  int       `json:"prompts" doc:"questions that the monitor is fitted on, and as many held out"`
	Each     int       `json:"each" doc:"questions into which each concept is injected"`
	Inject   int       `json:"inject" doc:"block after which concepts are injected"`
	Read     int       `json:"read" doc:"block after which the monitor reads the last token"`
	Train    []float64 `json:"train" doc:"strengths that the monitor is fitted on, in units of the mean length of the activations"`
	Test     []float64 `json:"test" doc:"strengths that it is tested on, ascending"`
	Ask      float64   `json:"ask" doc:"strength at which the model itself is asked"`
	MaxFPR   float64   `json:"max_fpr" doc:"limit on false alarms on the fitted questions, which sets the monitor's threshold"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "introspection", Doc: "injected concepts: does the model say so, does a linear monitor notice concepts it never saw (arXiv:2603.21396)", New: newConfig},
		Title: "Injected concepts: what the model says and what a monitor sees",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "introspection", Seed: 1}, Model: "smollm2", Concepts: 16, Prompts: 48, Each: 4, Inject: 8, Read: 14, Train: []float64{0.3, 0.6},
		Test: []float64{0.05, 0.1, 0.2, 0.4, 0.8}, Ask: 0.4, MaxFPR: 0.01,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case c.Concepts < 4 || c.Each < 1 || c.Prompts < max(4, c.Each):
		return fmt.Errorf("concepts %d, prompts %d, each %d; use 4 concepts, 4 prompts and 1 of them for each concept, or more", c.Concepts, c.Prompts, c.Each)
	case c.Read <= c.Inject || c.Inject < 0:
		return fmt.Errorf("inject %d, read %d; the monitor reads after the injection", c.Inject, c.Read)
	case len(c.Train) == 0 || len(c.Test) == 0 || !slices.IsSorted(c.Test) || !slices.Contains(c.Test, c.Ask):
		return fmt.Errorf("train %v, test %v, ask %v; give strengths, those of the test ascending, with ask among them", c.Train, c.Test, c.Ask)
	}
	return nil
}

// half are the concepts and questions of one side: fitted or held out.
type half struct {
	concepts []string
	vectors  [][]float64 // unit vectors
	prompts  [][]int32
	clean    *mat.Dense // what the monitor reads without an injection, one row a question
}

type experiment struct {
	cfg       *Config
	lab       *lab.Lab
	at, read  model.Site
	length    float64 // mean length of the activations at the injected site, first tokens left out
	fit, test *half
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	e := &experiment{cfg: c, lab: l, at: model.Site{Kind: model.ResidPost, Layer: c.Inject}, read: model.Site{Kind: model.ResidPost, Layer: c.Read}}
	if err := e.prepare(ctx); err != nil {
		return err
	}
	s.Text("%d concepts and %d questions for the monitor, as many others held out. A concept's vector is the last token of \"Tell me about CONCEPT\" after block %d less the mean over concepts, at unit length. Strengths are in units of the mean length of activations there, %.1f.",
		c.Concepts, c.Prompts, c.Inject, e.length)
	s.Done("vectors")
	if err := e.monitor(ctx, s); err != nil {
		return err
	}
	s.Done("monitor")
	defer s.Done("answers")
	return e.answers(ctx, s)
}

// prepare makes vectors and questions.
func (e *experiment) prepare(ctx context.Context) error {
	c := e.cfg
	words, err := concepts(2*c.Concepts, c.Seed)
	if err != nil {
		return err
	}
	prompts, err := questions(e.lab.Tokenizer, 2*c.Prompts, c.Seed)
	if err != nil {
		return err
	}
	var tell [][]int32
	for _, w := range words {
		ids, err := chat(e.lab.Tokenizer, "Tell me about "+w+".")
		if err != nil {
			return err
		}
		tell = append(tell, ids)
	}
	x, err := vectors.ReadSites(ctx, e.lab.Engine, e.lab.Model, tell, []model.Site{e.at}, vectors.PoolLast, 8, nil)
	if err != nil {
		return err
	}
	mean := make([]float64, e.lab.Model.Spec.DModel) // over the fitted concepts alone
	for i := range c.Concepts {
		floats.AddScaled(mean, 1/float64(c.Concepts), x[0].RawRowView(i))
	}
	sides := make([]*half, 2)
	for side := range sides {
		h := &half{concepts: words[side*c.Concepts : (side+1)*c.Concepts], prompts: prompts[side*c.Prompts : (side+1)*c.Prompts]}
		for i := range c.Concepts {
			v := mat.Row(nil, side*c.Concepts+i, x[0])
			floats.Sub(v, mean)
			if v, err = vectors.Unit(v); err != nil {
				return err
			}
			h.vectors = append(h.vectors, v)
		}
		clean, err := vectors.ReadSites(ctx, e.lab.Engine, e.lab.Model, h.prompts, []model.Site{e.read}, vectors.PoolLast, c.Each, nil)
		if err != nil {
			return err
		}
		h.clean = clean[0]
		sides[side] = h
	}
	e.fit, e.test = sides[0], sides[1]
	rows, err := vectors.ReadTokens(ctx, e.lab.Engine, e.lab.Model, e.fit.prompts[:4], []model.Site{e.at}, c.Each)
	if err != nil {
		return err
	}
	var lengths []float64
	for i, text := range rows.Text {
		if i > 0 && rows.Text[i-1] == text { // a text's first token has a length of its own
			lengths = append(lengths, floats.Norm(rows.Sites[0].RawRowView(i), 2))
		}
	}
	e.length = stat.Mean(lengths, nil)
	return nil
}

// inject places a direction at a strength, at every position.
func (e *experiment) inject(direction []float64, strength float64) []vectors.Placed {
	return []vectors.Placed{{Site: e.at, Do: vectors.Steering{Vector: direction, Strength: strength * e.length}}}
}

// asked are the questions into which concept number i is injected.
func (h *half) asked(i, each int) [][]int32 {
	out := make([][]int32, each)
	for j := range out {
		out[j] = h.prompts[(i*each+j)%len(h.prompts)]
	}
	return out
}

// injected reads the monitor's site with each direction injected into its questions, one row each, and the direction of each row.
func (e *experiment) injected(ctx context.Context, h *half, directions [][]float64, strength float64) (*mat.Dense, []int, error) {
	c := e.cfg
	out := mat.NewDense(len(directions)*c.Each, e.lab.Model.Spec.DModel, nil)
	var of []int
	for i, d := range directions {
		x, err := vectors.ReadSites(ctx, e.lab.Engine, e.lab.Model, h.asked(i, c.Each), []model.Site{e.read}, vectors.PoolLast, c.Each, e.inject(d, strength))
		if err != nil {
			return nil, nil, err
		}
		for j := range c.Each {
			out.SetRow(len(of), x[0].RawRowView(j))
			of = append(of, i)
		}
	}
	return out, of, nil
}

// monitor fits a linear monitor and tests it on concepts and questions that it has not seen.
func (e *experiment) monitor(ctx context.Context, s *study.Session) error {
	c := e.cfg
	parts := []*mat.Dense{e.fit.clean}
	for _, strength := range c.Train {
		x, _, err := e.injected(ctx, e.fit, e.fit.vectors, strength)
		if err != nil {
			return err
		}
		parts = append(parts, x)
	}
	x, y := stack(parts)
	fit, err := fitMonitor(ctx, x, y)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x696e7472)) // "intr"
	shuffled := slices.Clone(y)
	rng.Shuffle(len(y), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	control, err := fitMonitor(ctx, x, shuffled)
	if err != nil {
		return err
	}
	threshold, err := alarm(fit, e.fit.clean, c.MaxFPR)
	if err != nil {
		return err
	}
	alarms := 0
	clean := scores(fit, e.test.clean)
	for _, v := range clean {
		if v > threshold {
			alarms++
		}
	}
	fpr, err := stats.Wilson(alarms, len(clean), lab.Level)
	if err != nil {
		return err
	}
	s.Interval("false_alarms", fpr)
	random := make([][]float64, c.Concepts)
	for i := range random {
		v := make([]float64, e.lab.Model.Spec.DModel)
		for j := range v {
			v[j] = rng.NormFloat64()
		}
		if random[i], err = vectors.Unit(v); err != nil {
			return err
		}
	}
	t := report.Table{
		Caption: fmt.Sprintf("a linear monitor after block %d on %d held-out concepts in %d held-out questions each; false alarms on %d questions without an injection: %s", c.Read, c.Concepts, c.Each, len(clean), lab.Short(fpr)),
		Columns: []report.Column{{Name: "strength"}, {Name: "AUROC"}, {Name: "detected"}, {Name: "AUROC, random directions"}, {Name: "AUROC, shuffled labels"}},
	}
	var detected []float64
	for _, strength := range c.Test {
		x, of, err := e.injected(ctx, e.test, e.test.vectors, strength)
		if err != nil {
			return err
		}
		z, _, err := e.injected(ctx, e.test, random, strength)
		if err != nil {
			return err
		}
		hits := make([]float64, len(of))
		for i, v := range scores(fit, x) {
			if v > threshold {
				hits[i] = 1
			}
		}
		rate, err := lab.MeanOver(ctx, hits, of, c.Seed)
		if err != nil {
			return err
		}
		cells := []any{strength}
		name := fmt.Sprintf("strength_%g.", strength)
		for i, m := range []struct {
			name string
			fit  *vectors.Fit
			x    *mat.Dense
		}{{"auc", fit, x}, {"auc_random", fit, z}, {"auc_shuffled", control, x}} {
			got, err := e.auc(ctx, scores(m.fit, m.x), of, scores(m.fit, e.test.clean))
			if err != nil {
				return err
			}
			s.Interval(name+m.name, got)
			cells = append(cells, lab.Cell(got))
			if i == 0 {
				s.Interval(name+"detected", rate)
				cells = append(cells, lab.Cell(rate))
			}
		}
		detected = append(detected, rate.Value)
		t.Rows = append(t.Rows, cells)
	}
	s.Table("monitor", t)
	s.Plot(report.Line{Title: "held-out concepts that the monitor detects", XLabel: "strength / mean length", YLabel: "share", LogX: true, Series: []report.Series{{Name: "detected", X: c.Test, Y: detected}}})
	return nil
}

// auc is the chance that an injected row scores above a clean one; the interval resamples concepts and questions.
func (e *experiment) auc(ctx context.Context, injected []float64, of []int, clean []float64) (stats.Interval, error) {
	all := slices.Concat(injected, clean)
	cluster := slices.Clone(of)
	for i := range clean {
		cluster = append(cluster, len(of)+i)
	}
	r, err := stats.BootstrapClusters(ctx, cluster, func(index []int) float64 {
		var score []float64
		var positive []bool
		for _, i := range index {
			score, positive = append(score, all[i]), append(positive, i < len(injected))
		}
		got, err := stats.AUC(score, positive)
		if err != nil { // a resample of one class
			return 0.5
		}
		return got
	}, lab.Bootstrap(e.cfg.Seed))
	return r.Interval, err
}

// answers asks the model itself: the logit of yes less that of no.
func (e *experiment) answers(ctx context.Context, s *study.Session) error {
	c := e.cfg
	yes, err := firstTokens(e.lab.Tokenizer, "Yes", "yes", " Yes", " yes")
	if err != nil {
		return err
	}
	no, err := firstTokens(e.lab.Tokenizer, "No", "no", " No", " no")
	if err != nil {
		return err
	}
	score, err := vectors.LogitScorer(e.lab.Engine, e.lab.Model, yes, no, c.Each)
	if err != nil {
		return err
	}
	// a strength of 0 is the plain model, in the same program
	clean, err := score(ctx, e.inject(e.test.vectors[0], 0), e.test.prompts, nil)
	if err != nil {
		return err
	}
	var injected, says []float64
	var of []int
	for i, v := range e.test.vectors {
		got, err := score(ctx, e.inject(v, c.Ask), e.test.asked(i, c.Each), nil)
		if err != nil {
			return err
		}
		for _, x := range got {
			injected, of = append(injected, x), append(of, i)
			says = append(says, step(x))
		}
	}
	auc, err := e.auc(ctx, injected, of, clean)
	if err != nil {
		return err
	}
	rate, err := lab.MeanOver(ctx, says, of, c.Seed)
	if err != nil {
		return err
	}
	var plain []float64
	for _, x := range clean {
		plain = append(plain, step(x))
	}
	alarms, err := lab.MeanOver(ctx, plain, lab.UpTo(len(plain)), c.Seed)
	if err != nil {
		return err
	}
	s.Interval("answer.auc", auc)
	s.Interval("answer.detected", rate)
	s.Interval("answer.false_alarms", alarms)
	s.Table("answers", report.Table{
		Caption: fmt.Sprintf("what the model answers at strength %g: yes has the larger logit, held-out concepts and questions", c.Ask),
		Columns: []report.Column{{Name: "answer yes, injected"}, {Name: "answer yes, nothing injected"}, {Name: "AUROC of yes less no"}},
		Rows:    [][]any{{lab.Cell(rate), lab.Cell(alarms), lab.Cell(auc)}},
	})
	return nil
}

func step(x float64) float64 {
	if x > 0 {
		return 1
	}
	return 0
}

// stack puts matrices below each other; rows of the first one are class 0, the others class 1.
func stack(parts []*mat.Dense) (*mat.Dense, []int) {
	n, d := 0, 0
	for _, p := range parts {
		r, c := p.Dims()
		n, d = n+r, c
	}
	x, y := mat.NewDense(n, d, nil), make([]int, 0, n)
	for i, p := range parts {
		r, _ := p.Dims()
		for j := range r {
			x.SetRow(len(y), p.RawRowView(j))
			y = append(y, min(i, 1))
		}
	}
	return x, y
}

// fitMonitor is a logistic classifier.
func fitMonitor(ctx context.Context, x *mat.Dense, y []int) (*vectors.Fit, error) {
	f, err := vectors.Logistic(ctx, x, y, 1)
	return &f, err
}

func scores(f *vectors.Fit, x *mat.Dense) []float64 {
	n, _ := x.Dims()
	out := make([]float64, n)
	for i := range out {
		out[i] = f.Bias + floats.Dot(f.Weights, x.RawRowView(i))
	}
	return out
}

// alarm is the lowest threshold that no more than a share of clean rows exceed.
func alarm(f *vectors.Fit, clean *mat.Dense, share float64) (float64, error) {
	s := scores(f, clean)
	slices.Sort(s)
	allowed := int(share * float64(len(s)))
	return max(s[len(s)-1-allowed], 0), nil
}

// chat is a user's turn as tokens, up to the assistant's first one.
func chat(t *token.Tokenizer, text string) ([]int32, error) {
	rendered, err := t.Chat([]token.Message{{Role: "user", Content: text}}, token.ChatOptions{AddGenerationPrompt: true})
	if err != nil {
		return nil, err
	}
	encoded, err := t.Encode(rendered, token.EncodeOptions{})
	return encoded.IDs, err
}

// firstTokens are the first tokens of words.
func firstTokens(t *token.Tokenizer, words ...string) ([]int32, error) {
	var out []int32
	for _, w := range words {
		encoded, err := t.Encode(w, token.EncodeOptions{})
		if err != nil {
			return nil, err
		}
		if len(encoded.IDs) == 0 {
			return nil, fmt.Errorf("the word %q has no token", strings.TrimSpace(w))
		}
		if !slices.Contains(out, encoded.IDs[0]) {
			out = append(out, encoded.IDs[0])
		}
	}
	return out, nil
}
