package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"

	"loupe/internal/stats"
	"loupe/vectors"
)

// IntervalConfig says how intervals are drawn.
type IntervalConfig struct {
	Level     float64 `json:"level" doc:"confidence level"`
	Resamples int     `json:"resamples" doc:"bootstrap resamples of whole groups"`
}

// DefaultIntervals are 95 % intervals from 1,000 resamples.
func DefaultIntervals() IntervalConfig { return IntervalConfig{Level: 0.95, Resamples: 1000} }

// Validate names the field that is out of range.
func (c IntervalConfig) Validate() error {
	switch {
	case !(c.Level > 0 && c.Level < 1):
		return fmt.Errorf("probe: intervals: level is %v: %w; it is between 0 and 1, such as 0.95", c.Level, vectors.ErrArgument)
	case c.Resamples < 20:
		return fmt.Errorf("probe: intervals: resamples is %d: %w; use 20 or more", c.Resamples, vectors.ErrArgument)
	}
	return nil
}

// Metrics are what a probe gets right on some rows. Intervals are from resampling whole groups; where every resample gives
// the same (all right, classes apart) they are Wilson's over groups and Newcombe's over one row of each group and class,
// which have width there.
type Metrics struct {
	N        int            `json:"n"`
	Majority float64        `json:"majority"` // accuracy of the most frequent class on these rows
	Accuracy stats.Interval `json:"accuracy"`
	Balanced float64        `json:"balanced_accuracy"` // mean of the classes' recalls
	AUC      stats.Interval `json:"auc"`               // several classes: the mean of one against the rest
	F1       float64        `json:"f1"`                // of class 1; several classes: the mean
	R2       stats.Interval `json:"r2"`                // regression
	Spearman float64        `json:"spearman"`          // regression; 0 where scores are constant
}

// Evaluate measures scores [n, outputs] of a target's rows, all of them labelled. group [n] is what intervals resample,
// nil for rows.
func Evaluate(ctx context.Context, t Target, scores []float64, group []int, cfg IntervalConfig, seed uint64) (Metrics, error) {
	return evaluate(ctx, t, scores, group, make([]int, t.Len()), cfg, seed)
}

// evaluate is Evaluate of scores from several probes, whose scales may differ: part [n] says which, and the AUC is the mean
// over parts.
func evaluate(ctx context.Context, t Target, scores []float64, group, part []int, cfg IntervalConfig, seed uint64) (Metrics, error) {
	if err := cfg.Validate(); err != nil {
		return Metrics{}, err
	}
	n := t.Len()
	if len(scores) != n*t.Outputs() || n == 0 {
		return Metrics{}, fmt.Errorf("probe: %d scores for %d rows of target %s: %w", len(scores), n, t.Name, vectors.ErrShape)
	}
	if len(t.Labelled()) < n {
		return Metrics{}, fmt.Errorf("probe: target %s: %d of %d rows have no label: %w; take the labelled ones", t.Name, n-len(t.Labelled()), n, vectors.ErrClasses)
	}
	if floats.HasNaN(scores) {
		return Metrics{}, fmt.Errorf("probe: target %s: a score is NaN: %w", t.Name, vectors.ErrNotFinite)
	}
	boot := stats.BootstrapConfig{Resamples: cfg.Resamples, Level: cfg.Level, Method: stats.Percentile, Seed: seed}
	e := evaluation{ctx, t, scores, orEach(group, n), gathered(part), boot}
	if t.Task == Regression {
		return e.numbers()
	}
	return e.classes()
}

// Hits tells for each row whether scores [n, outputs] say its class: 1 or 0.
func Hits(t Target, scores []float64) []float64 {
	k := t.Outputs()
	hit := make([]float64, t.Len())
	for i, class := range t.Class {
		if decide(scores[i*k:(i+1)*k]) == class {
			hit[i] = 1
		}
	}
	return hit
}

type evaluation struct {
	ctx    context.Context
	t      Target
	scores []float64
	group  []int
	parts  [][]int // rows of each probe
	boot   stats.BootstrapConfig
}

func (e evaluation) classes() (Metrics, error) {
	n, k := e.t.Len(), e.t.K()
	m := Metrics{N: n, Majority: e.t.Majority()}
	hit := Hits(e.t, e.scores)
	right, called := make([]float64, k), make([]float64, k)
	total := 0
	for i, class := range e.t.Class {
		said := decide(e.row(i))
		called[said]++
		if said == class {
			right[class]++
			total++
		}
	}
	counts := e.t.Counts()
	present := 0.0
	for c, n := range counts {
		if n > 0 {
			present++
			m.Balanced += right[c] / float64(n)
			m.F1 += 2 * right[c] / (called[c] + float64(n))
		}
	}
	m.Balanced /= present
	m.F1 /= present
	if e.t.Task == Binary {
		m.F1 = 0
		if right[1] > 0 {
			m.F1 = 2 * right[1] / (called[1] + float64(counts[1]))
		}
	}
	var err error
	if m.Accuracy, err = e.interval(stats.MeanOf(hit)); err != nil || !(m.Accuracy.Low < m.Accuracy.High) {
		groups := len(gathered(e.group))
		m.Accuracy, err = stats.Wilson(int(float64(groups*total)/float64(n)+0.5), groups, e.boot.Level)
		m.Accuracy.Value = float64(total) / float64(n)
	}
	if err != nil {
		return m, fmt.Errorf("probe: accuracy of %s: %w", e.t.Name, err)
	}
	m.AUC, err = e.auc(counts)
	return m, err
}

// row are the scores of row i.
func (e evaluation) row(i int) []float64 {
	k := e.t.Outputs()
	return e.scores[i*k : (i+1)*k]
}

// decide is the class that scores say: of a single one its sign.
func decide(s []float64) int {
	if len(s) > 1 {
		return floats.MaxIdx(s)
	}
	if s[0] > 0 {
		return 1
	}
	return 0
}

// auc is the area under the ROC curve, of several classes the mean over those that are there.
func (e evaluation) auc(counts []int) (stats.Interval, error) {
	var curves []curve
	for c, n := range counts {
		if c == 0 && e.t.Task == Binary || n == 0 || n == e.t.Len() {
			continue
		}
		column := make([]float64, e.t.Len())
		positive := make([]bool, len(column))
		for i := range column {
			s := e.row(i)
			if column[i] = s[0]; e.t.Task == Multiclass {
				column[i] = s[c] - floats.LogSumExp(s) // the order of the class's probability
			}
			positive[i] = e.t.Class[i] == c
		}
		for _, rows := range e.parts {
			if of := pick(positive, rows); slices.Contains(of, true) && slices.Contains(of, false) {
				curves = append(curves, newCurve(column, positive, rows))
			}
		}
	}
	if len(curves) == 0 {
		return stats.Interval{}, fmt.Errorf("probe: AUC of %s: its %d rows are of one class: %w; test on rows of two", e.t.Name, e.t.Len(), vectors.ErrClasses)
	}
	i, err := e.interval(func(index []int) float64 {
		mean := 0.0
		for _, c := range curves {
			mean += c.area(index) / float64(len(curves))
		}
		return mean
	})
	if err != nil && !errors.Is(err, stats.ErrTooFew) {
		return i, fmt.Errorf("probe: AUC of %s: %w", e.t.Name, err)
	}
	if err == nil && i.Low < i.High || e.t.Task == Multiclass {
		return i, nil
	}
	n, err := e.newcombe(curves[0])
	if len(curves) > 1 {
		n.Value = i.Value
	}
	return n, err
}

// newcombe is the interval where resamples do not differ: of one row for each group and class of all parts.
func (e evaluation) newcombe(c curve) (stats.Interval, error) {
	type unit struct {
		group    int
		positive bool
	}
	seen := map[unit]bool{}
	var scores []float64
	var positive []bool
	for i, p := range c.positive {
		if u := (unit{e.group[i], p}); !seen[u] {
			seen[u] = true
			scores, positive = append(scores, c.scores[i]), append(positive, p)
		}
	}
	i, err := stats.AUCNewcombe(scores, positive, e.boot.Level)
	if err != nil {
		return i, fmt.Errorf("probe: AUC of %s: %w", e.t.Name, err)
	}
	i.Value = c.area(c.order)
	return i, nil
}

// interval resamples groups.
func (e evaluation) interval(s stats.Statistic) (stats.Interval, error) {
	r, err := stats.BootstrapClusters(e.ctx, e.group, s, e.boot)
	return r.Interval, err
}

func (e evaluation) numbers() (Metrics, error) {
	m := Metrics{N: e.t.Len()}
	values := e.t.Value
	var err error
	m.R2, err = e.interval(func(index []int) float64 {
		level := 0.0
		for _, i := range index {
			level += values[i] / float64(len(index))
		}
		rest, total := 0.0, 0.0
		for _, i := range index {
			rest += (values[i] - e.scores[i]) * (values[i] - e.scores[i])
			total += (values[i] - level) * (values[i] - level)
		}
		if total == 0 {
			return 0 // a resample of one value: nothing to explain
		}
		return 1 - rest/total
	})
	if err != nil {
		return m, fmt.Errorf("probe: R² of %s: %w", e.t.Name, err)
	}
	c, err := stats.Spearman(e.scores, values)
	if err != nil && !errors.Is(err, stats.ErrDegenerate) {
		return m, fmt.Errorf("probe: rank correlation of %s: %w", e.t.Name, err)
	}
	m.Spearman = c.R
	return m, nil
}

// curve gives the AUC of many resamples of the same rows in time that is linear in them: the rows are sorted once.
type curve struct {
	scores   []float64
	positive []bool
	order    []int // the rows, by score
	times    []float64
}

func newCurve(scores []float64, positive []bool, rows []int) curve {
	c := curve{scores, positive, slices.Clone(rows), make([]float64, len(scores))}
	slices.SortFunc(c.order, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		}
		return a - b
	})
	return c
}

// area is the chance that a positive of the resample scores above a negative, ties counted half; 1/2 where the resample
// lacks a class.
func (c curve) area(index []int) float64 {
	clear(c.times)
	for _, i := range index {
		c.times[i]++
	}
	below, sum, positives := 0.0, 0.0, 0.0
	for lo := 0; lo < len(c.order); {
		hi, up, down := lo, 0.0, 0.0
		for ; hi < len(c.order) && c.scores[c.order[hi]] == c.scores[c.order[lo]]; hi++ {
			if i := c.order[hi]; c.positive[i] {
				up += c.times[i]
			} else {
				down += c.times[i]
			}
		}
		sum += up * (below + down/2)
		positives += up
		below += down
		lo = hi
	}
	if positives == 0 || below == 0 {
		return 0.5
	}
	return sum / (positives * below)
}
