// Package adawac trains probes on texts whose companions give the label away, with sample weights and consistency over
// augmentations (arXiv:2210.01891).
package adawac

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/model"
)

// Config says what is shifted and how probes are trained.
type Config struct {
	study.Base
	Model        string             `json:"model" doc:"text encoder"`
	Layer        int                `json:"layer" doc:"block after which texts are read, mean token"`
	Concept      string             `json:"concept" doc:"concept of the built-in suite that is probed"`
	Companions   []string           `json:"companions" doc:"two concepts; a text is a sentence with or without the concept, and one of a companion"`
	Agree        float64            `json:"agree" doc:"share of training texts whose companion is the first one with the concept and the second one without"`
	TrainPairs   int                `json:"train_pairs" doc:"training sentences with a word of the concept, each with a twin without"`
	HeldOutPairs int                `json:"held_out_pairs" doc:"pairs of held-out words and templates, whose companion is drawn at random"`
	AdaWAC       probe.AdaWACConfig `json:"adawac" doc:"of the training"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "adawac", Doc: "probes under a shift of what goes with the concept: sample weights and consistency over augmentations (arXiv:2210.01891)", New: func() any {
			return &Config{
				Base: study.Base{Name: "adawac", Seed: 1}, Model: "minilm", Layer: 4, Concept: "animals", Companions: []string{"music", "weather"}, Agree: 0.95,
				TrainPairs: 150, HeldOutPairs: 100, AdaWAC: probe.DefaultAdaWAC(),
			}
		}},
		Title: "AdaWAC: a probe that does not lean on what goes with the concept",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Companions) != 2 || !(c.Agree >= 0.5 && c.Agree <= 1) || c.TrainPairs < 8 || c.HeldOutPairs < 4 {
		return fmt.Errorf("companions is %v, agree %v, train_pairs %d, held_out_pairs %d; use two, a share from 0.5 to 1, 8 and 4 or more", c.Companions, c.Agree, c.TrainPairs, c.HeldOutPairs)
	}
	return c.AdaWAC.Validate()
}

// subject is the texts: the training ones, two augmentations of each, and held-out ones.
type subject struct {
	x, first, second, test probe.Rows
	target, truth          probe.Target
	group                  []int  // of the test texts
	agrees                 []bool // whether a training text's companion goes with its label
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	u, err := read(ctx, c, l)
	if err != nil {
		return err
	}
	s.Text("%d training texts of two sentences; in %.0f %% of them the companion gives the label away. %d held-out texts of unseen words and templates, whose companion says nothing.", u.x.N, 100*c.Agree, u.test.N)
	s.Done("read")
	defer s.Done("probes")
	return u.compare(ctx, s, c)
}

// read makes the texts by seed and reads them.
func read(ctx context.Context, c *Config, l *lab.Lab) (*subject, error) {
	all, err := lab.ConceptSentences(append([]string{c.Concept}, c.Companions...), c.TrainPairs, c.HeldOutPairs, c.Seed)
	if err != nil {
		return nil, err
	}
	main := all[0]
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x616461)) // "ada"
	companion := func(which int, rows func(*lab.Sentences) []int) string {
		of := all[1+which]
		for {
			if r := rows(of)[rng.IntN(len(rows(of)))]; of.Class[r] == 1 {
				return of.Texts[r]
			}
		}
	}
	train, held := func(s *lab.Sentences) []int { return s.Split.Train }, func(s *lab.Sentences) []int { return s.Split.Test }
	u := &subject{target: main.Target().Take(main.Split.Train), truth: main.Target().Take(main.Split.Test), group: lab.Take(main.Group, main.Split.Test)}
	var texts [4][]string
	for _, r := range main.Split.Train {
		with := 1 - main.Class[r]
		agrees := rng.Float64() < c.Agree
		if !agrees {
			with = 1 - with
		}
		u.agrees = append(u.agrees, agrees)
		texts[0] = append(texts[0], main.Texts[r]+" "+companion(with, train))
		for a := 1; a < 3; a++ {
			texts[a] = append(texts[a], main.Texts[r]+" "+companion(rng.IntN(2), train))
		}
	}
	for _, r := range main.Split.Test {
		texts[3] = append(texts[3], main.Texts[r]+" "+companion(rng.IntN(2), held))
	}
	for i, to := range []*probe.Rows{&u.x, &u.first, &u.second, &u.test} {
		x, err := l.Read(ctx, texts[i], []model.Site{{Kind: model.ResidPost, Layer: c.Layer}}, lab.MeanToken, lab.ReadOptions{})
		if err != nil {
			return nil, err
		}
		if *to, err = probe.RowsOf(x[0]); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// compare trains the probe with and without each part of the method.
func (u *subject) compare(ctx context.Context, s *study.Session, c *Config) error {
	t := report.Table{
		Caption: fmt.Sprintf("Accuracy of probes after block %d on held-out texts; intervals over words", c.Layer),
		Columns: []report.Column{{Name: "training"}, {Name: "held-out"}, {Name: "training texts"}, {Name: "training texts against the companion"}, {Name: "weight of rows, companion agrees"}, {Name: "weight of rows, companion disagrees"}, {Name: "gap", Doc: "duality gap over the objective"}},
	}
	shuffled := rand.New(rand.NewPCG(uint64(c.Seed), 0x706169)).Perm(u.x.N) // "pai"
	plain, uniform := c.AdaWAC, c.AdaWAC
	plain.Lambda, uniform.Rounds = 0, 1
	hits := map[string][]float64{}
	for _, way := range []struct {
		name, key string
		cfg       probe.AdaWACConfig
		second    probe.Rows
	}{
		{"classification alone", "plain", plain, u.second},
		{"consistency, equal weights", "uniform", uniform, u.second},
		{"consistency, trained weights (AdaWAC)", "adawac", c.AdaWAC, u.second},
		{"AdaWAC, pairs of different sentences", "mismatched", c.AdaWAC, u.second.Take(shuffled)},
	} {
		fit, err := probe.FitAdaWAC(ctx, u.x, u.target, u.first, way.second, way.cfg)
		if err != nil {
			return err
		}
		row, err := u.row(ctx, s, c, way.key, fit.Linear, hits)
		if err != nil {
			return err
		}
		agree, against := u.weights(fit.Sample)
		t.Rows = append(t.Rows, append(append([]any{way.name}, row...), agree, against, fit.Gap/fit.Objective))
		if way.key == "adawac" {
			s.Value("weight.agree", agree)
			s.Value("weight.against", against)
			s.Value("adawac.gap", fit.Gap/fit.Objective)
		}
	}
	// the augmentations as more texts, with their labels
	more := probe.Rows{N: 3 * u.x.N, D: u.x.D, Values: slices.Concat(u.x.Values, u.first.Values, u.second.Values)}
	positive := slices.Repeat(u.target.Positive(), 3)
	fits, err := probe.Logistic(ctx, more, []probe.Target{probe.NewBinary(c.Concept, positive)}, probe.LogisticConfig{C: 1 / (c.AdaWAC.L2 * float64(more.N)), Standardize: true, Tolerance: 1e-6})
	if err != nil {
		return err
	}
	row, err := u.row(ctx, s, c, "augmented", fits[0], hits)
	if err != nil {
		return err
	}
	t.Rows = append(t.Rows, append(append([]any{"augmentations as labelled texts"}, row...), nil, nil, nil))
	s.Table("probes", t)
	for _, other := range []string{"plain", "uniform", "mismatched", "augmented"} {
		gain, err := lab.MeanOver(ctx, lab.Minus(hits["adawac"], hits[other]), u.group, c.Seed)
		if err != nil {
			return err
		}
		s.Interval("gain_over_"+other, gain)
	}
	return nil
}

// row is a probe's accuracy on held-out texts, on training texts, and on those whose companion goes against the label.
func (u *subject) row(ctx context.Context, s *study.Session, c *Config, key string, l probe.Linear, hits map[string][]float64) ([]any, error) {
	held, err := l.Scores(u.test)
	if err != nil {
		return nil, err
	}
	hits[key] = probe.Hits(u.truth, held)
	var accuracy stats.Interval
	if accuracy, err = lab.MeanOver(ctx, hits[key], u.group, c.Seed); err != nil {
		return nil, err
	}
	s.Interval(key+".accuracy", accuracy)
	seen, err := l.Scores(u.x)
	if err != nil {
		return nil, err
	}
	right := probe.Hits(u.target, seen)
	_, against := u.weights(right)
	sum := 0.0
	for _, h := range right {
		sum += h / float64(len(right))
	}
	return []any{lab.Cell(accuracy), sum, against}, nil
}

// weights are the means over training texts whose companion goes with the label, and against it.
func (u *subject) weights(x []float64) (agree, against float64) {
	n := 0.0
	for i, v := range x {
		if u.agrees[i] {
			agree, n = agree+v, n+1
		} else {
			against += v
		}
	}
	return agree / max(n, 1), against / max(float64(len(x))-n, 1)
}
