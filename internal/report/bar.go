package report

import (
	"errors"
	"fmt"
	"html/template"
	"math"
	"unicode/utf8"
)

// Bar is a bar plot, one bar a label; Low and High, where given, are the ends of an interval for every bar.
type Bar struct {
	Title  string    `json:"title"` // caption: what is shown, n and seed
	XLabel string    `json:"x_label"`
	YLabel string    `json:"y_label"` // with unit
	Labels []string  `json:"labels"`
	Values []float64 `json:"values"`
	Low    []float64 `json:"low,omitempty"`
	High   []float64 `json:"high,omitempty"`
}

// Histogram counts values in bins of equal width.
type Histogram struct {
	Title  string    `json:"title"`
	XLabel string    `json:"x_label"` // with unit
	Values []float64 `json:"values"`
	Bins   int       `json:"bins"` // 0 takes the square root of the count, at most 60
}

func (Bar) kind() string       { return "bar" }
func (Histogram) kind() string { return "histogram" }

func (p Bar) html() (template.HTML, error) {
	if err := needLabels(p.Title, p.XLabel, p.YLabel); err != nil {
		return "", err
	}
	n := len(p.Labels)
	if n == 0 || len(p.Values) != n || len(p.Low) != len(p.High) || (len(p.Low) != 0 && len(p.Low) != n) {
		return "", fmt.Errorf("plot %q has %d labels, %d values, %d lower and %d upper ends", p.Title, n, len(p.Values), len(p.Low), len(p.High))
	}
	ys := append(append(append([]float64(nil), p.Values...), p.Low...), p.High...)
	y, err := newAxis(ys, false, true, plotH-below, marginT)
	if err != nil {
		return "", fmt.Errorf("plot %q: %w", p.Title, err)
	}
	c := &canvas{}
	c.axes(axis{}, y, p.XLabel, p.YLabel, false)
	slot := (plotW - marginR - marginL) / float64(n)
	room, rows := max(3, int(slot/7)), 1 // characters that fit under a bar
	for _, l := range p.Labels {
		if n > 1 && utf8.RuneCountInString(l) > room {
			rows = 2 // labels take turns in two rows, with twice the room
		}
	}
	for i, v := range p.Values {
		left := marginL + slot*(float64(i)+0.12)
		c.bar(left, slot*0.76, v, y, fmt.Sprintf("%s: %s", p.Labels[i], exact(v)))
		mid := left + slot*0.38
		if len(p.Low) > 0 {
			fmt.Fprintf(c, `<line class="error" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, mid, y.at(p.Low[i]), mid, y.at(p.High[i]))
		}
		c.text(mid, y.from+16+float64(i%rows)*13, "middle", clip(p.Labels[i], room*rows))
	}
	c.legend(nil)
	return c.figure(p.Title), nil
}

// bar draws one bar from zero to v.
func (c *canvas) bar(left, width, v float64, y axis, title string) {
	top, bottom := y.at(math.Max(v, 0)), y.at(math.Min(v, 0))
	fmt.Fprintf(c, `<rect class="f0" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`,
		left, top, width, bottom-top, template.HTMLEscapeString(title))
}

// clip shortens a label that does not fit; its bar's title has it in full.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

func (p Histogram) html() (template.HTML, error) {
	if err := needLabels(p.Title, p.XLabel); err != nil {
		return "", err
	}
	edges, counts, err := p.count()
	if err != nil {
		return "", fmt.Errorf("plot %q: %w", p.Title, err)
	}
	x, err := newAxis(edges, false, false, marginL, plotW-marginR)
	if err != nil {
		return "", fmt.Errorf("plot %q: %w", p.Title, err)
	}
	y, err := newAxis(counts, false, true, plotH-below, marginT)
	if err != nil {
		return "", fmt.Errorf("plot %q: %w", p.Title, err)
	}
	c := &canvas{}
	c.axes(x, y, p.XLabel, "count", true)
	for i, n := range counts {
		left, right := x.at(edges[i]), x.at(edges[i+1])
		c.bar(left+0.5, right-left-1, n, y, fmt.Sprintf("%s to %s: %.0f", short(edges[i]), short(edges[i+1]), n))
	}
	c.legend(nil)
	return c.figure(p.Title), nil
}

// count returns the edges of the bins, one more than there are bins, and the counts. The last bin holds its right edge.
func (p Histogram) count() (edges, counts []float64, err error) {
	if len(p.Values) == 0 {
		return nil, nil, errors.New("there is nothing to count")
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range p.Values {
		if err := finite(v); err != nil {
			return nil, nil, err
		}
		lo, hi = math.Min(lo, v), math.Max(hi, v)
	}
	if math.IsInf(hi-lo, 0) {
		return nil, nil, errTooWide
	}
	if pad := padding(lo, hi); pad > 0 {
		lo, hi = lo-pad, hi+pad
	}
	bins := p.Bins
	if bins <= 0 {
		bins = min(60, max(1, int(math.Sqrt(float64(len(p.Values))))))
	}
	counts, edges = make([]float64, bins), make([]float64, bins+1)
	width := (hi - lo) / float64(bins)
	for i := range edges {
		edges[i] = lo + float64(i)*width
	}
	for _, v := range p.Values {
		counts[min(bins-1, int((v-lo)/width))]++
	}
	return edges, counts, nil
}
