package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Text is a block of paragraphs, separated by empty lines.
type Text struct {
	Text string `json:"text"`
}

// Numbers are key figures, shown large.
type Numbers struct {
	Numbers []Number `json:"numbers"`
}

// Number is one key figure.
type Number struct {
	Label string `json:"label"`
	Value any    `json:"value"` // as a table's cell
	Unit  string `json:"unit,omitempty"`
	Note  string `json:"note,omitempty"` // what it is compared with, or how many
}

// Table is a sortable table.
type Table struct {
	Caption string   `json:"caption"` // says n and seed
	Columns []Column `json:"columns"`
	Rows    [][]any  `json:"rows"` // cells: string, bool, integer, float64, [Interval], or nil for none
}

// Column heads a table's column.
type Column struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	Doc  string `json:"doc,omitempty"` // shown when the pointer rests on the heading
}

// Interval is an estimate with its interval and the number of independent units behind it. With N = 1 there is no
// interval, and the cell says so.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	N     int     `json:"n"`
}

func (Text) kind() string    { return "text" }
func (Numbers) kind() string { return "numbers" }
func (Table) kind() string   { return "table" }

func (t Text) html() (template.HTML, error) {
	var b strings.Builder
	for _, p := range strings.Split(t.Text, "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			fmt.Fprintf(&b, "<p>%s</p>\n", template.HTMLEscapeString(p))
		}
	}
	return template.HTML(b.String()), nil
}

func (n Numbers) html() (template.HTML, error) {
	var b strings.Builder
	b.WriteString(`<dl class="numbers">`)
	for _, x := range n.Numbers {
		c, err := newCell(x.Value)
		if err != nil {
			return "", fmt.Errorf("number %q: %w", x.Label, err)
		}
		fmt.Fprintf(&b, "\n<div><dt>%s</dt><dd>%s", template.HTMLEscapeString(x.Label), c.html)
		if x.Unit != "" {
			b.WriteString(" " + template.HTMLEscapeString(x.Unit))
		}
		if x.Note != "" {
			fmt.Fprintf(&b, "<small>%s</small>", template.HTMLEscapeString(x.Note))
		}
		b.WriteString("</dd></div>")
	}
	b.WriteString("\n</dl>")
	return template.HTML(b.String()), nil
}

func (t Table) html() (template.HTML, error) {
	cells := make([][]cell, len(t.Rows))
	numeric := make([]bool, len(t.Columns))
	for i := range numeric {
		numeric[i] = len(t.Rows) > 0
	}
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return "", fmt.Errorf("table %q: row %d has %d cells for %d columns", t.Caption, i+1, len(row), len(t.Columns))
		}
		cells[i] = make([]cell, len(row))
		for j, x := range row {
			c, err := newCell(x)
			if err != nil {
				return "", fmt.Errorf("table %q: row %d, column %q: %w", t.Caption, i+1, t.Columns[j].Name, err)
			}
			cells[i][j] = c
			numeric[j] = numeric[j] && (c.number || x == nil)
		}
	}
	var b strings.Builder
	b.WriteString(`<div class="scroll"><table>`)
	if t.Caption != "" {
		fmt.Fprintf(&b, "<caption>%s</caption>", template.HTMLEscapeString(t.Caption))
	}
	b.WriteString("\n<thead><tr>")
	for j, c := range t.Columns {
		sort, class := "text", ""
		if numeric[j] {
			sort, class = "number", ` class="n"`
		}
		name := c.Name
		if c.Unit != "" {
			name += " (" + c.Unit + ")"
		}
		fmt.Fprintf(&b, `<th scope="col" data-sort="%s"%s title="%s">%s</th>`, sort, class, template.HTMLEscapeString(c.Doc), template.HTMLEscapeString(name))
	}
	b.WriteString("</tr></thead>\n<tbody>\n")
	for _, row := range cells {
		b.WriteString("<tr>")
		for j, c := range row {
			class := ""
			if numeric[j] {
				class = ` class="n"`
			}
			fmt.Fprintf(&b, `<td%s data-v="%s">%s</td>`, class, template.HTMLEscapeString(c.key), c.html)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table></div>")
	return template.HTML(b.String()), nil
}

// cell is a value as shown and as sorted.
type cell struct {
	html   string // escaped
	key    string // not escaped
	number bool
}

func newCell(x any) (cell, error) {
	switch x := x.(type) {
	case nil:
		return cell{}, nil
	case string:
		return cell{html: template.HTMLEscapeString(x), key: x}, nil
	case bool:
		s := map[bool]string{true: "yes", false: "no"}[x]
		return cell{html: s, key: s}, nil
	case int, int32, int64, uint64:
		s := fmt.Sprint(x)
		return cell{html: s, key: s, number: true}, nil
	case float64:
		if err := finite(x); err != nil {
			return cell{}, err
		}
		return cell{html: short(x), key: exact(x), number: true}, nil
	case Interval:
		return intervalCell(x)
	}
	return cell{}, fmt.Errorf("a cell cannot be a %T; give a string, bool, integer, float64 or Interval", x)
}

func intervalCell(x Interval) (cell, error) {
	if err := finite(x.Value); err != nil {
		return cell{}, err
	}
	c := cell{key: exact(x.Value), number: true}
	if x.N <= 1 {
		c.html = short(x.Value) + " <small>n = 1</small>"
		return c, nil
	}
	if err := finite(x.Low, x.High); err != nil {
		return cell{}, err
	}
	if x.Low > x.High {
		return cell{}, fmt.Errorf("interval [%v, %v] is upside down", x.Low, x.High)
	}
	c.html = fmt.Sprintf("%s <small>[%s, %s], n = %d</small>", short(x.Value), short(x.Low), short(x.High), x.N)
	return c, nil
}

func finite(xs ...float64) error {
	for _, x := range xs {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("the value %v is not finite; leave the cell empty (nil) if there is none", x)
		}
	}
	return nil
}

func exact(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// short is x to four significant digits.
func short(x float64) string {
	a := math.Abs(x)
	switch {
	case x == 0:
		return "0"
	case x == math.Trunc(x) && a < 1e9:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case a >= 1e6 || a < 1e-4:
		return strconv.FormatFloat(x, 'e', 3, 64)
	case a >= 1000:
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'f', max(0, 3-int(math.Floor(math.Log10(a)))), 64)
}
