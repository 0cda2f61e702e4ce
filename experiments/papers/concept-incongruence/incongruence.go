// Package conceptincongruence asks whether a role-play prefix makes a language model lose the year and who is dead in it
// (arXiv:2505.14905).
package conceptincongruence

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/model"
	"loupe/vectors"
)

// Config says what is asked and read.
type Config struct {
	study.Base
	Model   string  `json:"model" doc:"language model"`
	People  int     `json:"people" doc:"how many of the list, drawn by seed; 0: all"`
	Offsets []int   `json:"offsets" doc:"years from a person's death that are asked about"`
	Layers  []int   `json:"layers" doc:"blocks after which the last token is read; the last one is also read by the lens"`
	HeldOut float64 `json:"held_out" doc:"share of people on whom probes are tested"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind: config.Kind{Name: "concept-incongruence", Doc: "probes of death and year with and without a role-play prefix (arXiv:2505.14905)", New: func() any {
			return &Config{Base: study.Base{Name: "concept-incongruence", Seed: 1}, Model: "smollm2", Offsets: []int{-40, -20, -5, 5, 20, 40}, Layers: []int{6, 14, 22, 29}, HeldOut: 0.4}
		}},
		Title: "Concept incongruence: the year and who is dead in it, with and without a role-play prefix",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	before, after := 0, 0
	for _, o := range c.Offsets {
		if o < 0 {
			before++
		} else {
			after++
		}
	}
	if before == 0 || after == 0 || len(c.Layers) == 0 || !(c.HeldOut > 0 && c.HeldOut < 1) || c.People != 0 && c.People < 8 || c.People > len(people) {
		return fmt.Errorf("offsets is %v, layers %v, held_out %v, people %d; ask before and after death, at one layer or more, with a share between 0 and 1, of 0 or 8 to %d people", c.Offsets, c.Layers, c.HeldOut, c.People, len(people))
	}
	return nil
}

// The two ways to ask.
const (
	plain    = "plain"
	rolePlay = "role-play"
)

// prompt asks whether a person is alive in a year; with role-play the same follows an order to be that person.
func prompt(way string, p person, year int) string {
	ask := fmt.Sprintf("The year is %d. In this year, %s is", year, p.name)
	if way == rolePlay {
		return fmt.Sprintf("You are %s. Think and answer as %s would. %s", p.name, p.name, ask)
	}
	return ask
}

// subject is the questions with the model's last tokens.
type subject struct {
	cfg    *Config
	year   []float64
	dead   []bool
	offset []int
	group  []int // person
	split  probe.Split
	x      map[string][]*mat.Dense // by way, at each layer
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	u := &subject{cfg: c, x: map[string][]*mat.Dense{}}
	asked, err := u.questions()
	if err != nil {
		return err
	}
	var sites []model.Site
	for _, layer := range c.Layers {
		sites = append(sites, model.Site{Kind: model.ResidPost, Layer: layer})
	}
	for _, way := range []string{plain, rolePlay} {
		if u.x[way], err = l.Read(ctx, asked[way], sites, lab.LastToken, lab.ReadOptions{}); err != nil {
			return err
		}
	}
	s.Text("%d people, asked about %d years each; probes are tested on people that training has not: %d questions train, %d test. The last token is read.", len(u.year)/len(c.Offsets), len(c.Offsets), len(u.split.Train), len(u.split.Test))
	s.Done("read")
	if err := u.probes(ctx, s); err != nil {
		return err
	}
	s.Done("probes")
	defer s.Done("answers")
	return u.answers(ctx, s, l)
}

// questions are the prompts of both ways, question by question the same.
func (u *subject) questions() (map[string][]string, error) {
	asked := map[string][]string{}
	n := u.cfg.People
	if n == 0 {
		n = len(people)
	}
	key := probe.Key{Name: "person"}
	for i := range n {
		p := people[i*len(people)/n] // spread over the years
		for _, o := range u.cfg.Offsets {
			for _, way := range []string{plain, rolePlay} {
				asked[way] = append(asked[way], prompt(way, p, p.death+o))
			}
			u.year, u.dead, u.offset, u.group = append(u.year, float64(p.death+o)), append(u.dead, o > 0), append(u.offset, o), append(u.group, i)
			key.Values = append(key.Values, p.name)
		}
	}
	var err error
	u.split, err = probe.HoldOut(lab.UpTo(len(u.year)), []probe.Key{key}, u.cfg.HeldOut, uint64(u.cfg.Seed))
	return asked, err
}

// held fits a target's probe to the training people and returns the scores of the held-out ones.
func (u *subject) held(ctx context.Context, x *mat.Dense, t probe.Target) ([]float64, error) {
	rows, err := probe.RowsOf(x)
	if err != nil {
		return nil, err
	}
	method := probe.DefaultMethod(probe.MethodLogistic)
	method.Logistic.C = 0.01 // fewer questions than dimensions
	if t.Task == probe.Regression {
		method = probe.DefaultMethod(probe.MethodRidge)
	}
	fits, err := method.Fit(ctx, rows.Take(u.split.Train), []probe.Target{t.Take(u.split.Train)}, lab.Take(u.group, u.split.Train), uint64(u.cfg.Seed))
	if err != nil {
		return nil, err
	}
	return fits[0].Scores(rows.Take(u.split.Test))
}

// probes fits both targets at every layer in both ways, beside shuffled labels and the year alone.
func (u *subject) probes(ctx context.Context, s *study.Session) error {
	dead, year := probe.NewBinary("dead", u.dead), probe.NewRegression("year", u.year)
	t := report.Table{
		Caption: "Held-out people: AUC of a probe of whether the person is dead in the year, R² of a ridge probe of the year; differences are role-play less plain, by the same people in every resample",
		Columns: []report.Column{{Name: "block"}, {Name: "dead, plain"}, {Name: "dead, role-play"}, {Name: "difference"}, {Name: "dead, shuffled labels"}, {Name: "year, plain"}, {Name: "year, role-play"}, {Name: "difference "}},
	}
	alone := mat.NewDense(len(u.year), 1, append([]float64{}, u.year...))
	for i, layer := range u.cfg.Layers {
		scores := map[string][2][]float64{}
		for _, way := range []string{plain, rolePlay} {
			d, err := u.held(ctx, u.x[way][i], dead)
			if err != nil {
				return err
			}
			y, err := u.held(ctx, u.x[way][i], year)
			if err != nil {
				return err
			}
			scores[way] = [2][]float64{d, y}
		}
		shuffled, err := u.held(ctx, u.x[plain][i], probe.ShuffledLabels(dead, nil, uint64(u.cfg.Seed)))
		if err != nil {
			return err
		}
		row := []any{layer}
		add := func(name string, of func(test []int) float64) error {
			v, err := u.over(ctx, of)
			if err != nil {
				return err
			}
			row = append(row, lab.Cell(v))
			s.Interval(fmt.Sprintf("block%d.%s", layer, name), v)
			return nil
		}
		p, r := scores[plain], scores[rolePlay]
		for _, c := range []struct {
			name string
			of   func(test []int) float64
		}{
			{"dead_plain", func(at []int) float64 { return u.auc(p[0], at) }},
			{"dead_role", func(at []int) float64 { return u.auc(r[0], at) }},
			{"dead_difference", func(at []int) float64 { return u.auc(r[0], at) - u.auc(p[0], at) }},
			{"dead_shuffled", func(at []int) float64 { return u.auc(shuffled, at) }},
			{"year_plain", func(at []int) float64 { return u.r2(p[1], at) }},
			{"year_role", func(at []int) float64 { return u.r2(r[1], at) }},
			{"year_difference", func(at []int) float64 { return u.r2(r[1], at) - u.r2(p[1], at) }},
		} {
			if err := add(c.name, c.of); err != nil {
				return err
			}
		}
		t.Rows = append(t.Rows, row)
	}
	s.Table("probes", t)
	only, err := u.held(ctx, alone, dead)
	if err != nil {
		return err
	}
	baseline, err := u.over(ctx, func(at []int) float64 { return u.auc(only, at) })
	if err != nil {
		return err
	}
	s.Interval("baseline.year_alone", baseline)
	s.Text("A probe of the year's number alone tells the dead with an AUC of %s.", lab.Short(baseline))
	return u.byDistance(ctx, s, dead)
}

// byDistance is the AUC of the middle layer by how far the year is from the death.
func (u *subject) byDistance(ctx context.Context, s *study.Session, dead probe.Target) error {
	at := len(u.cfg.Layers) / 2
	t := report.Table{
		Caption: fmt.Sprintf("AUC of the death probe after block %d by the distance of the year from the death", u.cfg.Layers[at]),
		Columns: []report.Column{{Name: "years"}, {Name: plain}, {Name: rolePlay}},
	}
	seen := map[int]bool{}
	for _, o := range u.cfg.Offsets {
		distance := max(o, -o)
		if seen[distance] {
			continue
		}
		seen[distance] = true
		row := []any{distance}
		for _, way := range []string{plain, rolePlay} {
			scores, err := u.held(ctx, u.x[way][at], dead)
			if err != nil {
				return err
			}
			near := make([]int, 0, len(scores))
			var group []int
			for i, r := range u.split.Test {
				if u.offset[r] == distance || u.offset[r] == -distance {
					near, group = append(near, i), append(group, u.group[r])
				}
			}
			r, err := stats.BootstrapClusters(ctx, group, func(index []int) float64 { return u.auc(scores, lab.Take(near, index)) }, lab.Bootstrap(u.cfg.Seed))
			if err != nil {
				return err
			}
			row = append(row, lab.Cell(r.Interval))
		}
		t.Rows = append(t.Rows, row)
	}
	s.Table("distance", t)
	return nil
}

// over is a statistic of the test questions with an interval over people.
func (u *subject) over(ctx context.Context, of func(test []int) float64) (stats.Interval, error) {
	r, err := stats.BootstrapClusters(ctx, lab.Take(u.group, u.split.Test), func(index []int) float64 { return of(index) }, lab.Bootstrap(u.cfg.Seed))
	return r.Interval, err
}

// auc is that of scores of test questions, at the given ones; 1/2 where a resample has one class.
func (u *subject) auc(scores []float64, at []int) float64 {
	wins, pairs := 0.0, 0.0
	for _, i := range at {
		if !u.dead[u.split.Test[i]] {
			continue
		}
		for _, j := range at {
			if u.dead[u.split.Test[j]] {
				continue
			}
			pairs++
			switch {
			case scores[i] > scores[j]:
				wins++
			case scores[i] == scores[j]:
				wins += 0.5
			}
		}
	}
	if pairs == 0 {
		return 0.5
	}
	return wins / pairs
}

// r2 is the share of the variance of the year that scores of test questions explain.
func (u *subject) r2(scores []float64, at []int) float64 {
	mean, residual, total := 0.0, 0.0, 0.0
	for _, i := range at {
		mean += u.year[u.split.Test[i]] / float64(len(at))
	}
	for _, i := range at {
		y := u.year[u.split.Test[i]]
		residual += (y - scores[i]) * (y - scores[i])
		total += (y - mean) * (y - mean)
	}
	if total == 0 {
		return math.NaN()
	}
	return 1 - residual/total
}

// answers reads what the model itself would say: the logit of " dead" less that of " alive" after the question.
func (u *subject) answers(ctx context.Context, s *study.Session, l *lab.Lab) error {
	if u.cfg.Layers[len(u.cfg.Layers)-1] != l.Model.Spec.Layers-1 {
		return fmt.Errorf("the last of layers is %d; the lens reads block %d", u.cfg.Layers[len(u.cfg.Layers)-1], l.Model.Spec.Layers-1)
	}
	lens, err := vectors.LensOf(l.Model)
	if err != nil {
		return err
	}
	d, _ := lens.Unembed.Dims()
	two := mat.NewDense(d, 2, nil)
	for k, word := range []string{" dead", " alive"} {
		id, err := single(l, word)
		if err != nil {
			return err
		}
		two.SetCol(k, mat.Col(nil, id, lens.Unembed))
	}
	lens.Unembed = two
	t := report.Table{
		Caption: "What the model says: share of held-out questions with the right one of dead and alive more likely, and the AUC of the difference of their logits",
		Columns: []report.Column{{Name: "asked"}, {Name: "right"}, {Name: "says dead"}, {Name: "AUC"}},
	}
	for _, way := range []string{plain, rolePlay} {
		logits, err := lens.Logits(u.x[way][len(u.cfg.Layers)-1])
		if err != nil {
			return err
		}
		var scores []float64
		for _, r := range u.split.Test {
			scores = append(scores, logits.At(r, 0)-logits.At(r, 1))
		}
		share := func(hit func(i int) bool) func([]int) float64 {
			return func(at []int) float64 {
				sum := 0.0
				for _, i := range at {
					if hit(i) {
						sum += 1 / float64(len(at))
					}
				}
				return sum
			}
		}
		row := []any{way}
		for _, c := range []struct {
			name string
			of   func([]int) float64
		}{
			{"right", share(func(i int) bool { return (scores[i] > 0) == u.dead[u.split.Test[i]] })},
			{"says_dead", share(func(i int) bool { return scores[i] > 0 })},
			{"auc", func(at []int) float64 { return u.auc(scores, at) }},
		} {
			v, err := u.over(ctx, c.of)
			if err != nil {
				return err
			}
			row = append(row, lab.Cell(v))
			s.Interval("answer_"+way+"."+c.name, v)
		}
		t.Rows = append(t.Rows, row)
	}
	s.Table("answers", t)
	return nil
}
