package sparsecbm

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/internal/topictext"
	"loupe/vectors/bottleneck"
)

// tally is what held-out texts gave, of one seed or of several one after the other.
type tally struct {
	Word   []string             `json:"word"`   // of each text
	Hits   map[string][]float64 `json:"hits"`   // by what was measured: a number of each text
	Values map[string][]float64 `json:"values"` // a number of each seed
}

func newTally() *tally { return &tally{Hits: map[string][]float64{}, Values: map[string][]float64{}} }

// hits notes which texts logits get right.
func (t *tally) hits(name string, logits *mat.Dense, y []int) error {
	h, err := bottleneck.Hits(logits, y)
	t.Hits[name] = h
	return err
}

// add appends another seed.
func (t *tally) add(o *tally) {
	t.Word = append(t.Word, o.Word...)
	for name, v := range o.Hits {
		t.Hits[name] = append(t.Hits[name], v...)
	}
	for name, v := range o.Values {
		t.Values[name] = append(t.Values[name], v...)
	}
}

// over is the mean over texts with an interval from drawing all texts of a word together.
func (t *tally) over(ctx context.Context, x []float64, seed int64) (stats.Interval, error) {
	return lab.MeanOver(ctx, x, topictext.Clusters(t.Word), seed)
}

// reporter turns a tally into tables and numbers; its first error ends it.
type reporter struct {
	*tally
	ctx  context.Context
	s    *study.Session
	seed int64
	err  error
}

func (r *reporter) mean(x []float64) stats.Interval {
	if r.err != nil {
		return stats.Interval{}
	}
	i, err := r.over(r.ctx, x, r.seed)
	r.err = err
	return i
}

func (r *reporter) cell(name string) any { return lab.Cell(r.mean(r.Hits[name])) }

func (r *reporter) number(metric, name string) { r.s.Interval(metric, r.mean(r.Hits[name])) }

func (r *reporter) difference(metric, a, b string) {
	r.s.Interval(metric, r.mean(lab.Minus(r.Hits[a], r.Hits[b])))
}

func (r *reporter) value(name string) float64 {
	sum := 0.0
	for _, v := range r.Values[name] {
		sum += v / float64(len(r.Values[name]))
	}
	return sum
}

func (t *tally) report(ctx context.Context, s *study.Session, c *Config) error {
	r := &reporter{tally: t, ctx: ctx, s: s, seed: c.Seed}
	m := len(c.Data.Topics) * c.Data.Phrases
	s.Text("%d topics, %d concepts of which no text has the words; %d seeds of %d training and %d held-out texts, whose words and templates are new. Chance is %.3f. Intervals draw all texts of a word together.",
		len(c.Data.Topics), m, c.Seeds, c.Data.Train*len(c.Data.Topics), c.Data.HeldOut*len(c.Data.Topics), 1/float64(len(c.Data.Topics)))
	base := report.Table{Caption: "Accuracy without a bottleneck, and without training", Columns: []report.Column{{Name: "method"}, {Name: "accuracy"}}}
	for _, name := range []string{"probe", "zero-shot", "search", "search, cubed", "search, raw cosines", "search, names shuffled", "post-hoc with residual"} {
		base.Rows = append(base.Rows, []any{name, r.cell(name)})
	}
	s.Table("base", base)
	heads := report.Table{
		Caption: fmt.Sprintf("Bottlenecks of %d concepts; few: the %d concepts of largest contribution to each decision", m, c.Active),
		Columns: []report.Column{
			{Name: "bottleneck"}, {Name: "accuracy"}, {Name: "used", Unit: "concepts", Doc: "mean number with a contribution to the decision"},
			{Name: "weights", Unit: "a class", Doc: "mean number of weights of a class that are not 0"},
			{Name: "few kept"}, {Name: "few deleted"}, {Name: "as many random deleted"},
			{Name: "named", Doc: "share of texts whose strongest concept is of their topic"}, {Name: "follows", Doc: "mean correlation of an activation with the score of its name"},
			{Name: "layer zero", Doc: "share of the layer's weights that are 0"},
		},
	}
	for _, name := range trained {
		var zero any
		if _, has := t.Values[name+" layer zero"]; has {
			zero = r.value(name + " layer zero")
		}
		heads.Rows = append(heads.Rows, []any{
			name, r.cell(name), r.mean(t.Hits[name+" used"]).Value, r.value(name + " weights"), r.cell(name + " kept"), r.cell(name + " dropped"), r.cell(name + " dropped at random"),
			r.cell(name + " named"), r.value(name + " follows"), zero,
		})
	}
	s.Table("bottlenecks", heads)
	leak := report.Table{Caption: "Leakage: post-hoc heads on named concepts and on as many random directions", Columns: []report.Column{{Name: "concepts"}, {Name: "named"}, {Name: "random"}}}
	for _, size := range append(append([]int{}, sizes...), c.Data.Phrases) {
		if size <= c.Data.Phrases {
			n := size * len(c.Data.Topics)
			leak.Rows = append(leak.Rows, []any{n, r.cell(fmt.Sprintf("named, %d", n)), r.cell(fmt.Sprintf("random, %d", n))})
		}
	}
	s.Table("leakage", leak)
	set := report.Table{Caption: "Post-hoc bottleneck with concepts set to their true values", Columns: []report.Column{{Name: "concepts set"}, {Name: "accuracy"}, {Name: "names shuffled"}}}
	set.Rows = append(set.Rows, []any{"none", r.cell(postHoc), r.cell(postHoc)})
	for _, share := range setShares {
		at := fmt.Sprintf("%.0f%%", 100*share)
		set.Rows = append(set.Rows, []any{at, r.cell("set " + at), r.cell("set, names shuffled " + at)})
	}
	s.Table("interventions", set)
	r.numbers(c, m)
	return r.err
}

// numbers are what expectations can name.
func (r *reporter) numbers(c *Config, m int) {
	for metric, name := range map[string]string{
		"probe.accuracy": "probe", "zero_shot.accuracy": "zero-shot", "search.accuracy": "search", "search_shuffled.accuracy": "search, names shuffled",
	} {
		r.number(metric, name)
	}
	for _, name := range trained {
		key := map[string]string{postHoc: "post_hoc"}[name]
		if key == "" {
			key = name
		}
		r.number(key+".accuracy", name)
		r.difference(key+".kept_over_probe", name+" kept", "probe")
		r.difference(key+".deleted_under_random", name+" dropped at random", name+" dropped")
		r.number(key+".named", name+" named")
		r.number(key+".named_shuffled", name+" named, names shuffled")
		r.s.Value(key+".used", r.mean(r.Hits[name+" used"]).Value)
		r.s.Value(key+".weights", r.value(name+" weights"))
		r.s.Value(key+".follows", r.value(name+" follows"))
	}
	r.difference("search.over_zero_shot", "search", "zero-shot")
	r.difference("gumbel.over_post_hoc", gumbel, postHoc)
	r.difference("gumbel.over_l1", gumbel, l1)
	r.difference("l1.over_contrastive", l1, contrastive)
	r.difference("residual.over_post_hoc", "post-hoc with residual", postHoc)
	r.difference("leakage.all", fmt.Sprintf("named, %d", m), fmt.Sprintf("random, %d", m))
	r.difference("leakage.one_a_topic", fmt.Sprintf("named, %d", len(c.Data.Topics)), fmt.Sprintf("random, %d", len(c.Data.Topics)))
	r.difference("set.half", "set 50%", postHoc)
	r.difference("set.half_shuffled", "set, names shuffled 50%", postHoc)
}
