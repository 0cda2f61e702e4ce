package lab

import (
	"fmt"

	"loupe/internal/expect"
	"loupe/internal/report"
)

// Verdicts counts reproduced and missed expectations.
func Verdicts(judged []expect.Judgement) (reproduced, missed int) {
	for _, j := range judged {
		switch j.Verdict {
		case expect.Reproduced:
			reproduced++
		case expect.Missed:
			missed++
		}
	}
	return reproduced, missed
}

// PrintExpected writes expectations and verdicts as lines of tab-separated cells; other says why none is judged.
func PrintExpected(judged []expect.Judgement, other string, line func(format string, args ...any)) {
	if len(judged) == 0 {
		return
	}
	if other != "" {
		line("\nEXPECTED\tnot judged: %s", other)
		return
	}
	line("\nEXPECTED\tcompared\texpected\tgot\tverdict")
	for _, j := range judged {
		got := "-"
		if j.Got != nil {
			got = fmt.Sprintf("%.4g", *j.Got)
		}
		line("%s\t%s\t%s %g\t%s\t%s", j.Metric, j.Use, j.Op, j.Value, got, j.Verdict)
	}
}

// ExpectedSection is the report's section on expectations; other says why none is judged.
func ExpectedSection(judged []expect.Judgement, other string) report.Section {
	if other != "" {
		return report.Section{Title: "Expected and got", Blocks: []report.Block{report.Text{Text: "Not judged: " + other + "."}}}
	}
	t := report.Table{
		Caption: "Expectations that were written before the run",
		Columns: []report.Column{{Name: "number"}, {Name: "compared"}, {Name: "expected"}, {Name: "got"}, {Name: "verdict"}, {Name: "where the expectation comes from"}},
	}
	for _, j := range judged {
		var got any
		if j.Got != nil {
			got = *j.Got
		}
		verdict := string(j.Verdict)
		if j.Why != "" {
			verdict += ": " + j.Why
		}
		t.Rows = append(t.Rows, []any{j.Metric, string(j.Use), fmt.Sprintf("%s %g", j.Op, j.Value), got, verdict, j.From})
	}
	return report.Section{Title: "Expected and got", Blocks: []report.Block{t}}
}
