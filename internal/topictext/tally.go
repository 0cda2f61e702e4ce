package topictext

import (
	"context"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/vectors/bottleneck"
)

// Tally is what held-out texts gave, of one seed or of several one after the other.
type Tally struct {
	Word   []string             `json:"word"`   // of each text
	Hits   map[string][]float64 `json:"hits"`   // by what was measured: a number of each text
	Values map[string][]float64 `json:"values"` // a number of each seed
}

// NewTally returns a tally of texts with these words.
func NewTally(words []string) *Tally {
	return &Tally{Word: words, Hits: map[string][]float64{}, Values: map[string][]float64{}}
}

// Right notes which texts logits [n, k] get right.
func (t *Tally) Right(name string, logits *mat.Dense, y []int) error {
	h, err := bottleneck.Hits(logits, y)
	t.Hits[name] = h
	return err
}

// Value notes a number of the seed.
func (t *Tally) Value(name string, v float64) { t.Values[name] = append(t.Values[name], v) }

// Add appends another seed.
func (t *Tally) Add(o *Tally) {
	t.Word = append(t.Word, o.Word...)
	for name, v := range o.Hits {
		t.Hits[name] = append(t.Hits[name], v...)
	}
	for name, v := range o.Values {
		t.Values[name] = append(t.Values[name], v...)
	}
}

// Reporter turns a tally into cells and numbers of a study. Its first error stays in Err, after which it gives zeros.
type Reporter struct {
	*Tally
	Ctx     context.Context
	Session *study.Session
	Seed    int64
	Err     error
}

// Mean is the mean over texts with an interval from drawing all texts of a word together.
func (r *Reporter) Mean(x []float64) stats.Interval {
	if r.Err != nil {
		return stats.Interval{}
	}
	i, err := lab.MeanOver(r.Ctx, x, Clusters(r.Word), r.Seed)
	r.Err = err
	return i
}

// Cell is the mean of what was measured under a name.
func (r *Reporter) Cell(name string) report.Interval { return lab.Cell(r.Mean(r.Hits[name])) }

// Number gives the study that mean under the name of a metric.
func (r *Reporter) Number(metric, name string) { r.Session.Interval(metric, r.Mean(r.Hits[name])) }

// Difference gives the study the mean of a less b, text by text.
func (r *Reporter) Difference(metric, a, b string) {
	r.Session.Interval(metric, r.Mean(lab.Minus(r.Hits[a], r.Hits[b])))
}

// Average is the mean over seeds of a number of each.
func (r *Reporter) Average(name string) float64 {
	sum := 0.0
	for _, v := range r.Values[name] {
		sum += v / float64(len(r.Values[name]))
	}
	return sum
}
