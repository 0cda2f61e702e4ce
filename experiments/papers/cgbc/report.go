package cgbc

import (
	"context"

	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/internal/topictext"
)

func summarise(ctx context.Context, s *study.Session, c *Config, t *topictext.Tally) error {
	r := &topictext.Reporter{Tally: t, Ctx: ctx, Session: s, Seed: c.Seed}
	k := len(c.Data.Topics)
	s.Text("%d topics with %d concepts each, of which no text has the words; %d seeds of %d texts. No training but for the probe. Chance is %.3f. Intervals draw all texts of a word together.",
		k, c.Data.Phrases, c.Seeds, c.Data.HeldOut*k, 1/float64(k))
	s.Table("bounds", report.Table{Caption: "Without concepts", Columns: []report.Column{{Name: "method"}, {Name: "accuracy"}}, Rows: [][]any{
		{"the topic's name", r.Cell("zero-shot")}, {"linear probe, trained", r.Cell("probe")},
	}})
	outliers := report.Table{Caption: "All concepts vote; some are replaced by outliers", Columns: []report.Column{{Name: "pool"}, {Name: "written"}, {Name: meanVote}, {Name: softTrim}}}
	for _, writing := range writings {
		for _, condition := range conditions {
			name := condition + ", " + writing
			outliers.Rows = append(outliers.Rows, []any{condition, writing, r.Cell(name + ", " + meanVote), r.Cell(name + ", " + softTrim)})
		}
	}
	s.Table("outliers", outliers)
	chosen := report.Table{
		Caption: "Some concepts of each pool vote, written with the topic",
		Columns: []report.Column{{Name: "pool"}, {Name: "choice"}, {Name: meanVote}, {Name: softTrim}, {Name: "cosine", Doc: "mean between two chosen concepts of a topic"}, {Name: "outliers", Doc: "their share of the chosen concepts"}},
	}
	for _, condition := range []string{clean, foreign} {
		for _, how := range choices {
			name := condition + ", " + how
			chosen.Rows = append(chosen.Rows, []any{condition, how, r.Cell(name + ", " + meanVote), r.Cell(name + ", " + softTrim), r.Average(name + ", cosine"), r.Average(name + ", outliers")})
		}
	}
	s.Table("chosen", chosen)

	r.Number("zero_shot.accuracy", "zero-shot")
	r.Number("probe.accuracy", "probe")
	for key, how := range map[string]string{"mean": meanVote, "trim": softTrim} {
		r.Number(key+".accuracy", clean+", "+withTopic+", "+how)
		r.Difference(key+".over_zero_shot", clean+", "+withTopic+", "+how, "zero-shot")
		r.Number(key+".names_shuffled", namesMixed+", "+barePhrase+", "+how)
		for name, condition := range map[string]string{"foreign": foreign, "other_topics": mislabel, "uneven": uneven, "uneven_other_topics": unevenMix} {
			r.Difference(key+".lost_"+name, clean+", "+barePhrase+", "+how, condition+", "+barePhrase+", "+how)
		}
	}
	r.Difference("trim.over_mean_uneven", uneven+", "+barePhrase+", "+softTrim, uneven+", "+barePhrase+", "+meanVote)
	r.Difference("dpp.over_random", clean+", "+dpp+", "+meanVote, clean+", "+random+", "+meanVote)
	r.Difference("dpp.over_random_foreign", foreign+", "+dpp+", "+softTrim, foreign+", "+random+", "+softTrim)
	s.Value("dpp.cosine_below_random", r.Average(clean+", "+random+", cosine")-r.Average(clean+", "+dpp+", cosine"))
	s.Value("dpp.outliers", r.Average(foreign+", "+dpp+", outliers"))
	s.Value("quality.outliers", r.Average(foreign+", "+quality+", outliers"))
	return r.Err
}
