package sparsecbm

import (
	"context"
	"fmt"

	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/internal/topictext"
)

// reporter writes the tables and numbers of the study.
type reporter struct{ *topictext.Reporter }

func summarise(ctx context.Context, s *study.Session, c *Config, t *topictext.Tally) error {
	r := &reporter{&topictext.Reporter{Tally: t, Ctx: ctx, Session: s, Seed: c.Seed}}
	m := len(c.Data.Topics) * c.Data.Phrases
	s.Text("%d topics, %d concepts of which no text has the words; %d seeds of %d training and %d held-out texts, whose words and templates are new. Chance is %.3f. Intervals draw all texts of a word together.",
		len(c.Data.Topics), m, c.Seeds, c.Data.Train*len(c.Data.Topics), c.Data.HeldOut*len(c.Data.Topics), 1/float64(len(c.Data.Topics)))
	base := report.Table{Caption: "Accuracy without a bottleneck, and without training", Columns: []report.Column{{Name: "method"}, {Name: "accuracy"}}}
	for _, name := range []string{"probe", "zero-shot", "search", "search, cubed", "search, raw cosines", "search, names shuffled", "post-hoc with residual"} {
		base.Rows = append(base.Rows, []any{name, r.Cell(name)})
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
			zero = r.Average(name + " layer zero")
		}
		heads.Rows = append(heads.Rows, []any{
			name, r.Cell(name), r.Mean(t.Hits[name+" used"]).Value, r.Average(name + " weights"), r.Cell(name + " kept"), r.Cell(name + " dropped"), r.Cell(name + " dropped at random"),
			r.Cell(name + " named"), r.Average(name + " follows"), zero,
		})
	}
	s.Table("bottlenecks", heads)
	leak := report.Table{Caption: "Leakage: post-hoc heads on named concepts and on as many random directions", Columns: []report.Column{{Name: "concepts"}, {Name: "named"}, {Name: "random"}}}
	for _, size := range append(append([]int{}, sizes...), c.Data.Phrases) {
		if size <= c.Data.Phrases {
			n := size * len(c.Data.Topics)
			leak.Rows = append(leak.Rows, []any{n, r.Cell(fmt.Sprintf("named, %d", n)), r.Cell(fmt.Sprintf("random, %d", n))})
		}
	}
	s.Table("leakage", leak)
	set := report.Table{Caption: "Post-hoc bottleneck with concepts set to their true values", Columns: []report.Column{{Name: "concepts set"}, {Name: "accuracy"}, {Name: "names shuffled"}}}
	set.Rows = append(set.Rows, []any{"none", r.Cell(postHoc), r.Cell(postHoc)})
	for _, share := range setShares {
		at := fmt.Sprintf("%.0f%%", 100*share)
		set.Rows = append(set.Rows, []any{at, r.Cell("set " + at), r.Cell("set, names shuffled " + at)})
	}
	s.Table("interventions", set)
	r.numbers(c, m)
	return r.Err
}

// numbers are what expectations can name.
func (r *reporter) numbers(c *Config, m int) {
	for metric, name := range map[string]string{
		"probe.accuracy": "probe", "zero_shot.accuracy": "zero-shot", "search.accuracy": "search", "search_shuffled.accuracy": "search, names shuffled",
	} {
		r.Number(metric, name)
	}
	for _, name := range trained {
		key := map[string]string{postHoc: "post_hoc"}[name]
		if key == "" {
			key = name
		}
		r.Number(key+".accuracy", name)
		r.Difference(key+".kept_over_probe", name+" kept", "probe")
		r.Difference(key+".deleted_under_random", name+" dropped at random", name+" dropped")
		r.Number(key+".named", name+" named")
		r.Number(key+".named_shuffled", name+" named, names shuffled")
		r.Session.Value(key+".used", r.Mean(r.Hits[name+" used"]).Value)
		r.Session.Value(key+".weights", r.Average(name+" weights"))
		r.Session.Value(key+".follows", r.Average(name+" follows"))
	}
	r.Difference("search.over_zero_shot", "search", "zero-shot")
	r.Difference("gumbel.over_post_hoc", gumbel, postHoc)
	r.Difference("gumbel.over_l1", gumbel, l1)
	r.Difference("l1.over_contrastive", l1, contrastive)
	r.Difference("residual.over_post_hoc", "post-hoc with residual", postHoc)
	r.Difference("leakage.all", fmt.Sprintf("named, %d", m), fmt.Sprintf("random, %d", m))
	r.Difference("leakage.one_a_topic", fmt.Sprintf("named, %d", len(c.Data.Topics)), fmt.Sprintf("random, %d", len(c.Data.Topics)))
	r.Difference("set.half", "set 50%", postHoc)
	r.Difference("set.half_shuffled", "set, names shuffled 50%", postHoc)
}
