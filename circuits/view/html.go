package view

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var page string

//go:embed page.js
var script string

//go:embed page.css
var style string

// WriteHTML writes the interactive page: zoom by wheel or keys, pan by dragging, a slider for the number of links, details and links of a
// node that is chosen. "#top=20" behind the file's address starts with 20 links.
func WriteHTML(w io.Writer, g *Graph) error {
	if err := g.Check(); err != nil {
		return err
	}
	data, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	t, err := template.New("page").Parse(page)
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	err = t.Execute(w, map[string]any{"Title": g.Title, "Note": g.Note, "Style": template.CSS(style), "Script": template.JS(script), "Data": template.JS(data), "Links": len(g.Links)})
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}
