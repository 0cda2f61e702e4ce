package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"loupe/internal/stats"
	"loupe/probe"
	"loupe/probe/store"
)

// EvalConfig says on what a saved probe is scored.
type EvalConfig struct {
	Split     string // of the documents; empty: all
	Value     string // class of the label that the probe was fitted by; empty: its own
	Intervals probe.IntervalConfig
	Shuffles  int // of the permutation test
	Bins      int
	Drop      bool // leave texts without the position out
	Seed      uint64
}

// DefaultEval scores on all documents.
func DefaultEval() EvalConfig {
	return EvalConfig{Intervals: probe.DefaultIntervals(), Shuffles: 999, Bins: 10}
}

// Evaluation is a saved probe on the documents of a store.
type Evaluation struct {
	Probe       string             `json:"probe"`
	Site        string             `json:"site"`
	Position    string             `json:"position"`
	Method      string             `json:"method"`
	Target      string             `json:"target"` // of the store's labels
	Rows        int                `json:"rows"`
	Groups      int                `json:"groups"`
	Dropped     int                `json:"dropped"`
	Score       probe.Metrics      `json:"score"`
	P           float64            `json:"p"` // of labels shuffled among these rows scoring as well
	Calibration *probe.Reliability `json:"calibration,omitempty"`
}

// Evaluate scores a saved probe on a store of the same model, whose labels are read as those that it was fitted to. It
// refuses a store of another model, or without the probe's site.
func Evaluate(ctx context.Context, card, dir string, cfg EvalConfig) (*Evaluation, error) {
	st, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	saved, err := probe.Load(card, probe.Use{Model: st.Manifest().Model.Digest})
	if err != nil {
		return nil, err
	}
	var data cardData
	if err := json.Unmarshal(saved.Data, &data); err != nil || data.Target.Label == "" {
		return nil, errors.Join(fmt.Errorf("probe: %s does not say how its labels are made; fit it with `loupe probe fit`", card), err)
	}
	src, err := openSource(ctx, st)
	if err != nil {
		return nil, err
	}
	j := &Job{cfg: evalJob(data, saved, cfg), src: src}
	if j.sites, err = src.sites([]string{saved.Site}); err != nil {
		return nil, err
	}
	if err := saved.Fits(probe.Use{D: j.sites[0].Dim()}); err != nil {
		return nil, err
	}
	at := stored
	if j.sites[0].Per == store.Token {
		if at, err = parsePosition(saved.Position); err != nil {
			return nil, fmt.Errorf("probe: %s: %w", card, err)
		}
	}
	b, err := j.evalBatch(saved, data, cfg)
	if err != nil {
		return nil, err
	}
	b, in, dropped, err := j.read(b, place{j.sites[0], at})
	if err != nil {
		return nil, err
	}
	t := b.targets[0]
	scores, err := (fitted{saved.Function, saved.Attention}).scores(in)
	if err != nil {
		return nil, err
	}
	if saved.Calibrator != nil {
		scores = saved.Calibrator.Apply(scores)
	}
	out := &Evaluation{Probe: saved.Name, Site: saved.Site, Position: saved.Position, Method: saved.Method, Target: t.Name, Rows: t.Len(), Groups: distinct(b.group), Dropped: dropped}
	if out.Score, err = probe.Evaluate(ctx, t, scores, b.group, cfg.Intervals, cfg.Seed); err != nil {
		return nil, err
	}
	if out.P, err = permutation(ctx, t, scores, b.group, cfg, out.Score); err != nil {
		return nil, err
	}
	if t.Task != probe.Regression && (probe.Method{Name: saved.Method}.Probabilistic() || saved.Calibrator != nil) {
		p, err := probe.Probabilities(t, scores)
		if err != nil {
			return nil, err
		}
		r, err := probe.Calibration(t, p, cfg.Bins)
		if err != nil {
			return nil, err
		}
		out.Calibration = &r
	}
	return out, nil
}

// evalJob is the configuration that the probe was fitted by, as far as reading needs it.
func evalJob(data cardData, saved *probe.Saved, cfg EvalConfig) *Config {
	c := &Config{Data: Data{Target: data.Target, Group: data.Group, Misaligned: "error", Seed: data.Seed}, Method: probe.Method{Name: saved.Method}}
	if cfg.Drop {
		c.Misaligned = "drop"
	}
	return c
}

// evalBatch makes the probe's target from the store's labels.
func (j *Job) evalBatch(saved *probe.Saved, data cardData, cfg EvalConfig) (*batch, error) {
	c := j.cfg
	label, err := j.src.label(c.Target.Label)
	if err != nil {
		return nil, err
	}
	label = slices.Clone(label)
	value := data.Name
	if cfg.Value != "" {
		value = cfg.Value
	}
	if c.Target.By != "" {
		by, err := j.src.label(c.Target.By)
		if err != nil {
			return nil, err
		}
		if _, err := chosen(c.Target.By, by, []string{value}); err != nil {
			return nil, err
		}
		for i := range label {
			if by[i] != value {
				label[i] = ""
			}
		}
	}
	if cfg.Split != "" {
		if !slices.Contains(j.src.docs.Split, cfg.Split) {
			return nil, fmt.Errorf("probe: store %s has no split %q; it has %q", j.src.st.Dir(), cfg.Split, slices.Compact(slices.Sorted(slices.Values(j.src.docs.Split))))
		}
		for i, s := range j.src.docs.Split {
			if s != cfg.Split {
				label[i] = ""
			}
		}
	}
	one := c.Target
	if one.Task == string(probe.Binary) && one.Positive == "" {
		one.Values = []string{value}
	} else {
		one.Values = nil
	}
	targets, err := one.over(value, label)
	if err != nil {
		return nil, err
	}
	t := targets[0]
	if saved.Task == probe.Multiclass {
		if t, err = reclass(t, saved.Classes); err != nil {
			return nil, err
		}
	}
	b := &batch{}
	docs := t.Labelled()
	if c.Method.Name == probe.MethodCCS {
		if b.units, err = j.src.pairs(docs, t, c.Seed); err != nil {
			return nil, err
		}
	} else {
		for _, d := range docs {
			b.units = append(b.units, []int{d})
		}
	}
	if len(b.units) == 0 {
		return nil, fmt.Errorf("probe: store %s has no document with a label for probe %s in this split", j.src.st.Dir(), saved.Name)
	}
	firsts := make([]int, len(b.units))
	for i, u := range b.units {
		firsts[i] = u[0]
	}
	b.targets = []probe.Target{t.Take(firsts)}
	g, err := j.src.key(j.src.groupKey(c.Group))
	if err != nil {
		return nil, err
	}
	b.group = pick(g.Numbers(), firsts)
	return b, nil
}

// reclass numbers classes as the probe does; a class that it does not know is an error.
func reclass(t probe.Target, classes []string) (probe.Target, error) {
	out := t
	out.Classes, out.Class = classes, slices.Clone(t.Class)
	for i, c := range t.Class {
		if c == probe.Unlabelled {
			continue
		}
		out.Class[i] = slices.Index(classes, t.Classes[c])
		if out.Class[i] < 0 {
			return t, fmt.Errorf("probe: a document has the class %q, and the probe knows %q; choose documents of these", t.Classes[c], classes)
		}
	}
	return out, nil
}

// permutation is the chance that shuffled labels score as well: whole groups are shuffled where each has one label.
func permutation(ctx context.Context, t probe.Target, scores []float64, group []int, cfg EvalConfig, real probe.Metrics) (float64, error) {
	atLeast := 1.0
	for i := range cfg.Shuffles {
		m, err := probe.Evaluate(ctx, probe.ShuffledLabels(t, group, cfg.Seed+uint64(i)+1), scores, group, probe.IntervalConfig{Level: 0.95, Resamples: 20}, 1)
		if err != nil && !errors.Is(err, stats.ErrDegenerate) {
			return 0, err
		}
		if figure(t.Task, m) >= figure(t.Task, real) {
			atLeast++
		}
	}
	return atLeast / float64(cfg.Shuffles+1), nil
}
