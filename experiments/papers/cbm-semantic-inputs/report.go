package semanticinputs

import (
	"context"
	"fmt"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/internal/topictext"
)

// reporter turns results into tables and numbers; its first error ends it.
type reporter struct {
	results
	ctx  context.Context
	s    *study.Session
	seed int64
	err  error
}

// mean of numbers whose texts have these words, drawing those of a word together.
func (r *reporter) mean(x []float64, words []string) stats.Interval {
	if r.err != nil {
		return stats.Interval{}
	}
	i, err := lab.MeanOver(r.ctx, x, topictext.Clusters(words), r.seed)
	r.err = err
	return i
}

// of are the audits of a method and direction, in the order of texts.
func (r *reporter) of(method, direction string) []audit {
	var out []audit
	for _, a := range r.Audits {
		if a.Method == method && a.Direction == direction {
			out = append(out, a)
		}
	}
	return out
}

func (r *reporter) audited(list []audit, f func(audit) float64) stats.Interval {
	return r.mean(lab.Column(list, f), lab.Column(list, func(a audit) string { return a.Word }))
}

func (r *reporter) right(phi float64, apart bool) stats.Interval {
	var x []float64
	var words []string
	for _, p := range r.Probes {
		if p.Phi == phi && p.Apart == apart {
			x, words = append(x, p.Right), append(words, p.Word)
		}
	}
	return r.mean(x, words)
}

func share(a audit) float64       { return a.Mass.Share }
func rival(a audit) float64       { return a.Rival }
func uniform(a audit) float64     { return a.Mass.Uniform }
func permuted(a audit) float64    { return a.Mass.Shuffled }
func positive(a audit) float64    { return a.Mass.Positive }
func overUniform(a audit) float64 { return a.Mass.Share - a.Mass.Uniform }

func (all results) report(ctx context.Context, s *study.Session, c *Config) error {
	r := &reporter{results: all, ctx: ctx, s: s, seed: c.Seed}
	s.Text("%d pairs of concepts; each concept is learned by a logistic probe of the sentence embedding from %d texts, lists of three words, in which the pair's labels have correlation phi. Attributions are taken on %d held-out texts of each pair that have a word of both; share: magnitude on the tokens of the concept's own word, of that on all tokens. Intervals draw all texts of a word together.",
		len(c.First), c.Train, c.Audited)
	var names []string
	for _, phi := range c.Phi {
		names = append(names, learned(phi))
	}
	names = append(names, free, shuffled)
	t := report.Table{Caption: "Where attribution falls", Columns: []report.Column{
		{Name: "attribution"}, {Name: "concept"}, {Name: "own word"}, {Name: "other concept's word"}, {Name: "own word, of what is positive"}, {Name: "uniform", Doc: "share of the own word's tokens"}, {Name: "permuted", Doc: "own word, after permuting the text's attributions"},
	}}
	for _, method := range methods {
		for _, name := range names {
			list := r.of(method, name)
			t.Rows = append(t.Rows, []any{
				method, name, lab.Cell(r.audited(list, share)), lab.Cell(r.audited(list, rival)), lab.Cell(r.audited(list, positive)), r.audited(list, uniform).Value, r.audited(list, permuted).Value,
			})
		}
	}
	s.Table("attribution", t)
	missed, change := 0.0, 0.0
	for _, name := range names {
		for _, a := range r.of(ig, name) {
			missed, change = missed+a.Missed, change+a.Change
		}
	}
	s.Text("Integrated gradients in %d midpoints miss %.1f %% of the change along the path (sum of what is missed over sum of the changes, in magnitude).", c.Steps, 100*missed/change)
	s.Value("ig.missed", missed/change)
	accuracy := report.Table{Caption: "Accuracy of the learned concepts on held-out texts", Columns: []report.Column{{Name: "phi asked"}, {Name: "phi"}, {Name: "both or none"}, {Name: "one of the two", Doc: "texts in which the other concept misleads"}}}
	for _, phi := range c.Phi {
		accuracy.Rows = append(accuracy.Rows, []any{phi, correlation(sizes(c.Train, phi)), lab.Cell(r.right(phi, false)), lab.Cell(r.right(phi, true))})
	}
	s.Table("accuracy", accuracy)

	for key, method := range map[string]string{"ig": ig, "loo": loo} {
		one, none, random := r.of(method, learned(1)), r.of(method, learned(0)), r.of(method, shuffled)
		s.Interval(key+".share_phi1", r.audited(one, share))
		s.Interval(key+".share_phi0", r.audited(none, share))
		s.Interval(key+".rival_phi1", r.audited(one, rival))
		s.Interval(key+".over_uniform_phi0", r.audited(none, overUniform))
		s.Interval(key+".over_uniform_shuffled", r.audited(random, overUniform))
		s.Interval(key+".gain", r.mean(lab.Minus(lab.Column(none, share), lab.Column(one, share)), lab.Column(one, func(a audit) string { return a.Word })))
		s.Interval(key+".over_shuffled_phi0", r.mean(lab.Minus(lab.Column(none, share), lab.Column(random, share)), lab.Column(none, func(a audit) string { return a.Word })))
		var phi, mass []float64
		for _, p := range c.Phi {
			for _, a := range r.of(method, learned(p)) {
				phi, mass = append(phi, p), append(mass, a.Mass.Share)
			}
		}
		rho, err := stats.Spearman(phi, mass)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		s.Value(key+".spearman", rho.R)
	}
	s.Interval("accuracy.apart_phi1", r.right(1, true))
	s.Interval("accuracy.apart_phi0", r.right(0, true))
	return r.err
}
