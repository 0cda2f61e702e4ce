package study

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"loupe/internal/expect"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/run"
)

// Part is one part of a summary: a sentence or a table.
type Part struct {
	Text  string        `json:"text,omitempty"`
	Name  string        `json:"name,omitempty"` // of the table
	Table *report.Table `json:"table,omitempty"`
	block report.Block  // for the report alone
}

// Result is what a study found.
type Result struct {
	Title    string             `json:"title"`
	Folder   string             `json:"folder"`
	Parts    []Part             `json:"parts"`
	Metrics  []lab.NamedMetric  `json:"metrics"`
	Expected []expect.Judgement `json:"expected"`
	Other    string             `json:"other,omitempty"` // why the expectations are not judged
	Times    []lab.StepTime     `json:"times"`
	Compiles int                `json:"compiles"`
}

// Print writes the summary as aligned text.
func (r *Result) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("%s", r.Title)
	for _, p := range r.Parts {
		switch {
		case p.Text != "":
			line("\n%s", p.Text)
		case p.Table != nil:
			printTable(*p.Table, line)
		}
	}
	lab.PrintExpected(r.Expected, r.Other, line)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("study: %w", err)
	}
	_, err := fmt.Fprintf(out, "\nseconds   %s\nprograms  %d compiled\nfolder    %s (report.html, tables/)\n", lab.PrintTimes(r.Times), r.Compiles, r.Folder)
	return err
}

func printTable(t report.Table, line func(format string, args ...any)) {
	head := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = c.Name
		if c.Unit != "" {
			head[i] += " (" + c.Unit + ")"
		}
	}
	if len(head) > 0 {
		head[0] = strings.ToUpper(head[0])
	}
	if t.Caption != "" {
		line("\n%s:", strings.TrimRight(t.Caption, ".:"))
	}
	line("%s", strings.Join(head, "\t"))
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, x := range row {
			cells[i] = short(x)
		}
		line("%s", strings.Join(cells, "\t"))
	}
}

// short is a cell of the summary.
func short(x any) string {
	switch v := x.(type) {
	case nil:
		return "-"
	case float64:
		return strconv.FormatFloat(v, 'g', 4, 64)
	case report.Interval:
		if v.N == 1 {
			return fmt.Sprintf("%.3f", v.Value)
		}
		return fmt.Sprintf("%.3f [%.3f, %.3f]", v.Value, v.Low, v.High)
	}
	return fmt.Sprint(x)
}

// writeCSV writes a table with all digits; an interval takes three columns.
func (s *Session) writeCSV(name string, t report.Table) error {
	interval := make([]bool, len(t.Columns))
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return fmt.Errorf("table %q: row %d has %d cells for %d columns", name, i+1, len(row), len(t.Columns))
		}
		for j, x := range row {
			_, is := x.(report.Interval)
			interval[j] = interval[j] || is
		}
	}
	var head []string
	for j, c := range t.Columns {
		if head = append(head, c.Name); interval[j] {
			head = append(head, c.Name+" low", c.Name+" high")
		}
	}
	return s.dir.Write("tables/"+name+".csv", func(out io.Writer) error {
		w := csv.NewWriter(out)
		if err := w.Write(head); err != nil {
			return err
		}
		for _, row := range t.Rows {
			var cells []string
			for j, x := range row {
				cells = append(cells, full(x, interval[j])...)
			}
			if err := w.Write(cells); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	})
}

// full is a cell, or three, with all digits.
func full(x any, interval bool) []string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	var cell string
	switch v := x.(type) {
	case nil:
	case float64:
		cell = number(v)
	case report.Interval:
		return []string{number(v.Value), number(v.Low), number(v.High)}
	default:
		cell = fmt.Sprint(x)
	}
	if interval {
		return []string{cell, "", ""}
	}
	return []string{cell}
}

func (r *Result) writeReport(dir *run.Dir, opt lab.Options) error {
	found := report.Section{Title: "What came out"}
	for _, p := range r.Parts {
		switch {
		case p.Table != nil:
			found.Blocks = append(found.Blocks, *p.Table)
		case p.block != nil:
			found.Blocks = append(found.Blocks, p.block)
		default:
			found.Blocks = append(found.Blocks, report.Text{Text: p.Text})
		}
	}
	rep := report.Report{Title: r.Title, Command: opt.Command, Config: string(opt.YAML), Sections: []report.Section{found}}
	if len(r.Expected) > 0 {
		rep.Sections = append(rep.Sections, lab.ExpectedSection(r.Expected, r.Other))
	}
	return rep.Write(dir.File("report.html"))
}

// Judged is every expectation with its verdict.
func (r *Result) Judged() []expect.Judgement { return r.Expected }
