package fitting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/hub"
	"loupe/internal/lab"
	"loupe/internal/progress"
	"loupe/internal/report"
	"loupe/internal/run"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/capture"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/sweep"
	"loupe/vectors"
)

// Study is the study behind `loupe vectors fit`.
func Study() study.Study {
	return study.Study{
		Kind: ConfigKind(), Title: "Concept vectors, fitted",
		Run: func(ctx context.Context, s *study.Session, conf any) error { return fitAll(ctx, s, conf.(*Config)) },
		Steps: func(conf any) []string {
			c := conf.(*Config)
			return append(dataSteps(&c.Data), fmt.Sprintf("fit %s to %s at %s; %d fits to shuffled labels", strings.Join(c.Methods, ", "), target(c.Data.Target), strings.Join(c.Data.Sites, ", "), c.Shuffles))
		},
	}
}

func target(t sweep.TargetConfig) string {
	if len(t.Values) > 0 {
		return strings.Join(t.Values, ", ")
	}
	return "label " + t.Label
}

func dataSteps(d *sweep.Data) []string {
	if needed, err := d.NeedsCapture(); err == nil && needed {
		return []string{fmt.Sprintf("capture %s of %s over corpus %s to %s", strings.Join(d.Sites, ", "), d.Capture.Model, d.Capture.Corpus.Kind, d.Store)}
	}
	return []string{"read store " + d.Store}
}

// source is an open store with the architecture's name of its model.
type source struct {
	*sweep.Job
	family string
}

// open captures the store where it is not there, opens it and names it as a parent of the run.
func open(ctx context.Context, s *study.Session, d sweep.Data) (*source, error) {
	needed, err := d.NeedsCapture()
	if err != nil {
		return nil, err
	}
	if needed {
		if err := fill(ctx, s, d); err != nil {
			return nil, err
		}
		s.Done("capture")
	}
	j, err := sweep.OpenData(ctx, d)
	if err != nil {
		return nil, err
	}
	m := j.Manifest()
	if err := s.Dir().AddParent(run.Ref{Kind: "store", Name: d.Store, Digest: m.Digest}); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return &source{Job: j, family: familyOf(ctx, m)}, nil
}

func fill(ctx context.Context, s *study.Session, d sweep.Data) (err error) {
	c, err := d.OpenCapture(ctx, s.Backend(), s.Dir().Log())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	_, err = c.Run(ctx, capture.RunOptions{Resume: true, Progress: func(total int64) progress.Progress {
		return progress.New(progress.Options{Label: "capture", Unit: "tokens", Total: total, Out: s.Err, Quiet: s.Err == nil, Log: s.Dir().Log()})
	}})
	return err
}

// familyOf is the architecture's name of the model that the store was captured from; of a model that is not here, its own.
func familyOf(ctx context.Context, m *store.Manifest) string {
	var c struct{ Model string }
	if json.Unmarshal(m.Config, &c) != nil || c.Model == "" {
		return m.Model.ID
	}
	path, err := hub.Resolve(ctx, c.Model, hub.Options{Offline: true})
	if err != nil {
		return m.Model.ID
	}
	info, err := model.Inspect(path, model.Options{AllowExtra: true})
	if err != nil || info.Digest != m.Model.Digest {
		return m.Model.ID
	}
	return info.Spec.Family
}

// Fit is one fitted vector.
type Fit struct {
	Target   string         `json:"target"`
	Site     string         `json:"site"`
	Position string         `json:"position"`
	Method   string         `json:"method"`
	Rank     int            `json:"rank"`
	Norm     float64        `json:"norm"`     // of the first direction; 0 for an eraser alone
	Reads    stats.Interval `json:"reads"`    // a direction: AUC of the projection on held-out rows; numbers: R²'s place is taken by Spearman
	Shuffled []float64      `json:"shuffled"` // the same of directions that were fitted to shuffled labels
	After    stats.Interval `json:"after"`    // an eraser: AUC of a linear probe that is fitted afterwards
	Before   stats.Interval `json:"before"`   // and of one before
	Card     string         `json:"card"`
}

func fitAll(ctx context.Context, s *study.Session, c *Config) (err error) {
	src, err := open(ctx, s, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if err := os.MkdirAll(s.Dir().File("weights"), 0o755); err != nil {
		return fmt.Errorf("fitting: %w", err)
	}
	var fits []Fit
	n := 0
	err = src.Sets(func(set sweep.Set) error {
		for _, method := range c.Methods {
			f, err := study.Step(s, fmt.Sprintf("fit-%d", n), func() (Fit, error) { return c.fit(ctx, s, src, set, method) })
			if err != nil {
				return fmt.Errorf("%s at %s, %s: %w", set.Site, set.Position, set.Target.Name, err)
			}
			n++
			fits = append(fits, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.Done("fit")
	c.publish(s, fits)
	return nil
}

func labelsOf(t probe.Target) vectors.Labels {
	if t.Task == probe.Regression {
		return vectors.Labels{Value: t.Value}
	}
	return vectors.Labels{Class: t.Class, K: t.K()}
}

func (c *Config) fit(ctx context.Context, s *study.Session, src *source, set sweep.Set, method string) (Fit, error) {
	f := Fit{Target: set.Target.Name, Site: set.Site, Position: set.Position, Method: method}
	x := set.X.Take(set.Split.Train).Dense()
	found, err := vectors.FitMethod(ctx, method, x, labelsOf(set.Target.Take(set.Split.Train)), c.Settings)
	if err != nil {
		return f, err
	}
	f.Rank = found.Rank
	binary := set.Target.Task == probe.Binary
	saved := &vectors.Saved{Directions: found.Directions, Eraser: found.Eraser}
	if found.Directions != nil {
		f.Norm = mat.Norm(found.Directions.RowView(0), 2)
		if f.Reads, err = c.reads(ctx, set, found.Directions.RawRowView(0)); err != nil {
			return f, err
		}
		for i := range c.Shuffles {
			other, err := vectors.FitMethod(ctx, method, x, labelsOf(probe.ShuffledLabels(set.Target, set.Group, uint64(c.Seed)+uint64(i)+1).Take(set.Split.Train)), c.Settings)
			if err != nil {
				return f, fmt.Errorf("shuffled labels: %w", err)
			}
			r, err := c.reads(ctx, set, other.Directions.RawRowView(0))
			if err != nil {
				return f, err
			}
			f.Shuffled = append(f.Shuffled, r.Value)
		}
		if binary {
			saved.HeldOut = &f.Reads
		}
	}
	if found.Eraser != nil {
		if err := c.erased(ctx, set, found.Eraser, &f); err != nil {
			return f, err
		}
	}
	settings, err := json.Marshal(c.Settings)
	if err != nil {
		return f, fmt.Errorf("fitting: %w", err)
	}
	data, err := json.Marshal(map[string]any{"target": c.Data.Target, "split": c.Data.Split, "corpus": src.Manifest().Corpus})
	if err != nil {
		return f, fmt.Errorf("fitting: %w", err)
	}
	reads := saved.HeldOut
	saved.Card = vectors.Card{
		Name: fileName(set.Target.Name + "-" + set.Site + "-" + set.Position + "-" + method), Method: method, Concept: set.Target.Name, Classes: set.Target.Classes,
		Model: src.Manifest().Model, Family: src.family, Site: set.Site, Layer: set.Layer, Position: set.Position, D: set.X.D, HeldOut: reads, Settings: settings, Data: data,
		Fitted: vectors.FittedOn{Store: src.Manifest().Digest, Rows: len(set.Split.Train), Test: len(set.Split.Test), Seed: uint64(c.Seed)},
	}
	if _, err := saved.Save(s.Dir().File("weights")); err != nil {
		return f, err
	}
	f.Card = "weights/" + saved.Name + ".json"
	return f, nil
}

// reads is the held-out AUC of the projection on a direction; of a number, Spearman's correlation without an interval.
func (c *Config) reads(ctx context.Context, set sweep.Set, w []float64) (stats.Interval, error) {
	test := set.X.Take(set.Split.Test).Dense()
	n, _ := test.Dims()
	scores := make([]float64, n)
	for i := range scores {
		scores[i] = mat.Dot(test.RowView(i), mat.NewVecDense(len(w), w))
	}
	m, err := evaluate(ctx, set, scores, c.Intervals, uint64(c.Seed))
	if set.Target.Task == probe.Regression {
		return stats.Interval{Value: m.Spearman, Low: m.Spearman, High: m.Spearman, N: 1}, err
	}
	return m.AUC, err
}

func evaluate(ctx context.Context, set sweep.Set, scores []float64, cfg probe.IntervalConfig, seed uint64) (probe.Metrics, error) {
	t := set.Target.Take(set.Split.Test)
	if t.Task == probe.Multiclass {
		return probe.Metrics{}, fmt.Errorf("fitting: a direction of %d classes: %w; choose one by target.positive, or an eraser", t.K(), vectors.ErrClasses)
	}
	group := make([]int, len(set.Split.Test))
	for i, r := range set.Split.Test {
		group[i] = set.Group[r]
	}
	return probe.Evaluate(ctx, t, scores, group, cfg, seed)
}

// erased fits a linear probe before and after an eraser.
func (c *Config) erased(ctx context.Context, set sweep.Set, e *vectors.Eraser, f *Fit) error {
	if set.Target.Task == probe.Regression {
		return nil
	}
	j := probe.RemovalJudge{X: set.X.Dense(), Concept: set.Target, Group: set.Group, Split: set.Split, RemovalConfig: probe.RemovalConfig{
		Methods: []probe.Method{probe.DefaultMethod(probe.MethodLogistic)}, C: 1, Intervals: c.Intervals, Seed: uint64(c.Seed)}}
	before, err := j.Stage(ctx, "before", nil)
	if err != nil {
		return err
	}
	after, err := j.Stage(ctx, "after", e)
	if err != nil {
		return err
	}
	f.Before, f.After = before.Concept[0].AUC, after.Concept[0].AUC
	return nil
}

// fileName keeps letters, digits and -._; where another character had to go, a digest keeps names apart.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, strings.TrimLeft(name, "."))
	if safe == name {
		return safe
	}
	sum := sha256.Sum256([]byte(name))
	return safe + "-" + hex.EncodeToString(sum[:4])
}

func (c *Config) publish(s *study.Session, fits []Fit) {
	directions := report.Table{Caption: "Directions: what the projection reads on held-out texts, beside directions of shuffled labels", Columns: []report.Column{
		{Name: "target"}, {Name: "site"}, {Name: "position"}, {Name: "method"}, {Name: "norm"}, {Name: "held-out", Doc: "AUC of the projection; Spearman's correlation for numbers"},
		{Name: "shuffled, mean"}, {Name: "shuffled, largest"}, {Name: "card"},
	}}
	erasers := report.Table{Caption: "Erasers: what a linear probe reads on held-out texts (AUC) before and after", Columns: []report.Column{
		{Name: "target"}, {Name: "site"}, {Name: "position"}, {Name: "method"}, {Name: "rank"}, {Name: "before"}, {Name: "after"}, {Name: "card"},
	}}
	for _, f := range fits {
		key := f.Target + "." + f.Site + "." + f.Position + "." + f.Method
		if f.Norm > 0 {
			mean, most := 0.0, 0.0
			for _, v := range f.Shuffled {
				mean, most = mean+v/float64(len(f.Shuffled)), max(most, v)
			}
			directions.Rows = append(directions.Rows, []any{f.Target, f.Site, f.Position, f.Method, f.Norm, lab.Cell(f.Reads), mean, most, f.Card})
			s.Interval(key+".reads", f.Reads)
			s.Value(key+".shuffled", mean)
		}
		if f.After.N > 0 {
			erasers.Rows = append(erasers.Rows, []any{f.Target, f.Site, f.Position, f.Method, f.Rank, lab.Cell(f.Before), lab.Cell(f.After), f.Card})
			s.Interval(key+".after", f.After)
		}
	}
	if len(directions.Rows) > 0 {
		s.Table("directions", directions)
	}
	if len(erasers.Rows) > 0 {
		s.Table("erasers", erasers)
	}
	s.Text("Each vector is in weights/ as NAME.safetensors with its card NAME.json: model and digest, site, layer, position, what it was fitted on, what it reads.")
}
