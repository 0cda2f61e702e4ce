package report

import (
	"fmt"
	"html/template"
	"strings"
)

// Line is a line plot.
type Line struct {
	Title  string   `json:"title"` // caption: what is shown, n and seed
	XLabel string   `json:"x_label"`
	YLabel string   `json:"y_label"` // with unit
	LogX   bool     `json:"log_x,omitempty"`
	LogY   bool     `json:"log_y,omitempty"`
	Series []Series `json:"series"`
}

// Series is one curve; Low and High, where given, are the ends of an interval at every point.
type Series struct {
	Name string    `json:"name"`
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"`
	Low  []float64 `json:"low,omitempty"`
	High []float64 `json:"high,omitempty"`
}

func (Line) kind() string { return "line" }

func (s Series) check() error {
	if len(s.X) != len(s.Y) || len(s.X) == 0 {
		return fmt.Errorf("series %q has %d x and %d y", s.Name, len(s.X), len(s.Y))
	}
	if len(s.Low) != len(s.High) || (len(s.Low) != 0 && len(s.Low) != len(s.X)) {
		return fmt.Errorf("series %q has %d points with %d lower and %d upper ends", s.Name, len(s.X), len(s.Low), len(s.High))
	}
	return nil
}

func (l Line) html() (template.HTML, error) {
	if err := needLabels(l.Title, l.XLabel, l.YLabel); err != nil {
		return "", err
	}
	var xs, ys []float64
	var names []string
	for _, s := range l.Series {
		if err := s.check(); err != nil {
			return "", fmt.Errorf("plot %q: %w", l.Title, err)
		}
		xs = append(xs, s.X...)
		ys = append(append(append(ys, s.Y...), s.Low...), s.High...)
		names = append(names, s.Name)
	}
	x, err := newAxis(xs, l.LogX, false, marginL, plotW-marginR)
	if err != nil {
		return "", fmt.Errorf("plot %q, x: %w", l.Title, err)
	}
	y, err := newAxis(ys, l.LogY, false, plotH-below, marginT)
	if err != nil {
		return "", fmt.Errorf("plot %q, y: %w", l.Title, err)
	}
	c := &canvas{}
	c.axes(x, y, l.XLabel, l.YLabel, true)
	for i, s := range l.Series {
		c.band(s, x, y, i%colours)
		fmt.Fprintf(c, `<polyline class="curve s%d" stroke-dasharray="%s" points="%s"/>`, i%colours, dashes[i%len(dashes)], points(s.X, s.Y, x, y))
		if len(s.X) <= 30 {
			for j := range s.X {
				fmt.Fprintf(c, `<circle class="f%d" cx="%.1f" cy="%.1f" r="2.5"><title>%s: %s, %s</title></circle>`,
					i%colours, x.at(s.X[j]), y.at(s.Y[j]), template.HTMLEscapeString(s.Name), exact(s.X[j]), exact(s.Y[j]))
			}
		}
	}
	c.legend(names)
	return c.figure(l.Title), nil
}

// band shades the interval of a series.
func (c *canvas) band(s Series, x, y axis, colour int) {
	if len(s.Low) == 0 {
		return
	}
	up := points(s.X, s.High, x, y)
	down := strings.Fields(points(s.X, s.Low, x, y))
	for i, j := 0, len(down)-1; i < j; i, j = i+1, j-1 {
		down[i], down[j] = down[j], down[i]
	}
	fmt.Fprintf(c, `<polygon class="area f%d" points="%s %s"/>`, colour, up, strings.Join(down, " "))
}

func points(xs, ys []float64, x, y axis) string {
	var b strings.Builder
	for i := range xs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%.1f,%.1f", x.at(xs[i]), y.at(ys[i]))
	}
	return b.String()
}
