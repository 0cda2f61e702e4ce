package compare

import (
	"slices"
	"strings"
	"testing"

	"loupe/experiments/erase/evaluate"
	"loupe/internal/expect"
	"loupe/internal/stats"
)

// TestPapersReport: the report has the methods' table, each paper's counts and its expectations, failures included, and Markdown
// tables have as many cells as headings.
func TestPapersReport(t *testing.T) {
	got := 0.25
	list := []Paper{
		{Name: "uce", Run: "runs/uce", Status: "done now", Seconds: 3, Expected: []expect.Judgement{
			{Line: expect.Line{Metric: "a|b", Op: "<=", Value: 0.5, From: "guess"}, Got: &got, Verdict: expect.Reproduced},
			{Line: expect.Line{Metric: "c", Op: ">=", Value: 0.5, From: "guess"}, Got: &got, Verdict: expect.Missed},
		}},
		{Name: "rece", Status: "failed", Error: "the disk is full"},
	}
	rows := []*evaluate.Row{{Label: "uce", Harmonic: stats.Interval{Value: 0.9, Low: 0.8, High: 0.95, N: 4}, Verdict: "beats"}}
	r := PapersReport("loupe erase papers", rows, list)
	var b strings.Builder
	if err := WriteMarkdown(&b, r); err != nil {
		t.Fatal(err)
	}
	md := b.String()
	for _, want := range []string{"| uce | 1 | 1 | 2 | 3 | done now | runs/uce |", "| rece | 0 | 0 | 0 | - | failed |  |", "Failed: the disk is full", `| a\|b |`, "0.900 [0.800, 0.950]", "## rece"} {
		if !strings.Contains(md, want) {
			t.Errorf("the report lacks %q:\n%s", want, md)
		}
	}
	cells := 0
	for line := range strings.Lines(md) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("%d bars in a table of %d: %s", n, cells, line)
		}
	}
	if names := Papers(); len(names) != 25 || len(slices.Compact(slices.Sorted(slices.Values(names)))) != 25 {
		t.Errorf("%d papers", len(names))
	}
}
