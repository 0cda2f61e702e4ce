package compare

import (
	"fmt"
	"io"
	"strings"

	"loupe/experiments/erase/evaluate"
	"loupe/internal/expect"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
)

// Papers lists the experiments on erasing and customising concepts in text encoders, in the order in which they are run.
func Papers() []string {
	return []string{
		"uce", "rece", "trce", "realera", "itd", "hirm", "cgce", "spm", "advunlearn", "few-shot-erasing", "sauce", "all-but-one", "doco", "duge", "t2i-zero",
		"m-erasurebench", "concept-sliders", "classdiffusion", "conceptexpress", "omniprism", "conceptweaver", "co-erasing", "ant", "lora-compose", "blindspots",
	}
}

// Paper is one experiment of a joint run.
type Paper struct {
	Name     string             `json:"name"`
	Run      string             `json:"run,omitempty"` // folder; "" where it has not been run
	Status   string             `json:"status"`        // done before, done now, failed, not run
	Seconds  float64            `json:"seconds"`       // of this run; 0 where it was done before
	Expected []expect.Judgement `json:"expected"`
	Error    string             `json:"error,omitempty"`
}

// PapersReport is the one report of a joint run: the methods side by side, then every paper's expectations with what came out.
func PapersReport(command string, rows []*evaluate.Row, list []Paper) report.Report {
	out := report.Report{Title: "Erasing concepts from a text encoder: all methods and papers", Command: command}
	if len(rows) > 0 {
		s := report.Section{Title: "Methods", Blocks: []report.Block{evaluate.Table(rows)}}
		for _, t := range []report.Table{evaluate.AttackTable(rows), evaluate.TogetherTable(rows)} {
			if len(t.Rows) > 0 {
				s.Blocks = append(s.Blocks, t)
			}
		}
		out.Sections = append(out.Sections, s)
	}
	out.Sections = append(out.Sections, report.Section{Title: "Papers", Blocks: []report.Block{papersTable(list)}})
	for _, p := range list {
		s := lab.ExpectedSection(p.Expected, "")
		if p.Error != "" {
			s.Blocks = append(s.Blocks, report.Text{Text: "Failed: " + p.Error})
		}
		s.Title = p.Name
		out.Sections = append(out.Sections, s)
	}
	return out
}

func papersTable(list []Paper) report.Table {
	t := report.Table{Caption: "Expectations that were written before the runs", Columns: []report.Column{
		{Name: "paper"}, {Name: "reproduced"}, {Name: "missed"}, {Name: "of"}, {Name: "time", Unit: "s"}, {Name: "status"}, {Name: "run"},
	}}
	for _, p := range list {
		reproduced, missed := lab.Verdicts(p.Expected)
		var seconds any
		if p.Seconds > 0 {
			seconds = p.Seconds
		}
		t.Rows = append(t.Rows, []any{p.Name, reproduced, missed, len(p.Expected), seconds, p.Status, p.Run})
	}
	return t
}

// WriteMarkdown writes a report's tables and texts as Markdown.
func WriteMarkdown(w io.Writer, r report.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n`%s`\n", r.Title, r.Command)
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s\n", s.Title)
		for _, block := range s.Blocks {
			switch x := block.(type) {
			case report.Text:
				fmt.Fprintf(&b, "\n%s\n", x.Text)
			case report.Table:
				markdown(&b, x)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func markdown(b *strings.Builder, t report.Table) {
	fmt.Fprintf(b, "\n%s\n\n|", t.Caption)
	for _, c := range t.Columns {
		name := c.Name
		if c.Unit != "" {
			name += ", " + c.Unit
		}
		fmt.Fprintf(b, " %s |", escape(name))
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(t.Columns)) + "\n")
	for _, row := range t.Rows {
		b.WriteString("|")
		for _, c := range row {
			fmt.Fprintf(b, " %s |", escape(text(c)))
		}
		b.WriteString("\n")
	}
}

func escape(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ") }

func text(c any) string {
	switch v := c.(type) {
	case nil:
		return "-"
	case float64:
		return fmt.Sprintf("%.3g", v)
	case report.Interval:
		return lab.Short(stats.Interval{Value: v.Value, Low: v.Low, High: v.High, N: v.N})
	}
	return fmt.Sprint(c)
}
