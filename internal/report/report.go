// Package report writes a run's report as one HTML file that opens anywhere, offline.
//
// # Overview
//
// A [Report] is a value: a title, the command and configuration that made it, and sections of blocks: [Text],
// [Numbers], [Table], [Line], [Bar] and [Histogram]. Plots are inline SVG with axis labels, in colours that
// colour-blind readers can tell apart; tables sort by a click on a heading; light and dark follow the reader's system.
// The data of all blocks is also in the page as JSON, in <script type="application/json" id="data">. The page refers
// to nothing outside itself, and equal reports give equal bytes.
package report

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"

	"loupe/internal/atomicfile"
)

//go:embed page.html style.css page.js
var files embed.FS

// Report is a whole report.
type Report struct {
	Title    string    `json:"title"`
	Command  string    `json:"command"` // command line that makes this report again
	Config   string    `json:"config"`  // resolved configuration, YAML
	Sections []Section `json:"sections"`
}

// Section is a part of a report with a heading.
type Section struct {
	Title  string
	Blocks []Block
}

// Block is one of [Text], [Numbers], [Table], [Line], [Bar] and [Histogram].
type Block interface {
	html() (template.HTML, error)
	kind() string
}

// MarshalJSON writes each block as {"kind": {...}}.
func (s Section) MarshalJSON() ([]byte, error) {
	blocks := make([]map[string]Block, len(s.Blocks))
	for i, b := range s.Blocks {
		blocks[i] = map[string]Block{b.kind(): b}
	}
	return json.Marshal(struct {
		Title  string             `json:"title"`
		Blocks []map[string]Block `json:"blocks"`
	}{s.Title, blocks})
}

// page is what the template sees.
type page struct {
	Report
	Style    template.CSS
	Script   template.JS
	Data     template.JS
	Sections []section
}

type section struct {
	Title  string
	Blocks []template.HTML
}

// Render writes the report's page.
func (r Report) Render(w io.Writer) error {
	p := page{Report: r}
	for i, s := range r.Sections {
		out := section{Title: s.Title}
		for j, b := range s.Blocks {
			h, err := b.html()
			if err != nil {
				return fmt.Errorf("report: section %d (%s), block %d: %w", i+1, s.Title, j+1, err)
			}
			out.Blocks = append(out.Blocks, h)
		}
		p.Sections = append(p.Sections, out)
	}
	data, err := json.Marshal(r) // escapes <, > and &
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	p.Data = template.JS(data)
	style, err := files.ReadFile("style.css")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	script, err := files.ReadFile("page.js")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	p.Style, p.Script = template.CSS(style), template.JS(script)
	t, err := template.ParseFS(files, "page.html")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Write writes the report to a file, atomically.
func (r Report) Write(path string) error { return atomicfile.Write(path, r.Render) }
