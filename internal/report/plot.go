package report

import (
	"errors"
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Size of a plot and of the margins around its axes, in SVG units.
const (
	plotW, plotH                     = 640.0, 340.0
	marginL, marginR, marginT, below = 64.0, 30.0, 12.0, 52.0
	legendRow                        = 18.0
	colours                          = 8
)

// dashes tell the series apart without colour.
var dashes = []string{"", "7 4", "2 3", "9 3 2 3", "4 2", "12 4", "1 2", "6 2 2 2"}

// axis maps data to SVG units.
type axis struct {
	lo, hi float64 // data; log10 of it when log
	from   float64 // SVG position of lo
	to     float64 // SVG position of hi
	log    bool
	ticks  []float64 // data
}

// newAxis covers the values; with zero it starts or ends at 0 where all are on one side.
func newAxis(values []float64, log, zero bool, from, to float64) (axis, error) {
	a := axis{from: from, to: to, log: log, lo: math.Inf(1), hi: math.Inf(-1)}
	for _, v := range values {
		if err := finite(v); err != nil {
			return a, err
		}
		if log {
			if v <= 0 {
				return a, fmt.Errorf("%v has no place on a logarithmic axis", v)
			}
			v = math.Log10(v)
		}
		a.lo, a.hi = math.Min(a.lo, v), math.Max(a.hi, v)
	}
	if a.lo > a.hi {
		return a, errors.New("there is nothing to plot")
	}
	if zero && !log {
		a.lo, a.hi = math.Min(a.lo, 0), math.Max(a.hi, 0)
	}
	if math.IsInf(a.hi-a.lo, 0) {
		return a, errTooWide
	}
	if pad := padding(a.lo, a.hi); pad > 0 {
		a.lo, a.hi = a.lo-pad, a.hi+pad
	}
	a.place()
	return a, nil
}

var errTooWide = errors.New("the values lie too far apart to be plotted")

// padding widens a range that is empty to the eye, so that its value stands in the middle.
func padding(lo, hi float64) float64 {
	size := math.Max(math.Abs(lo), math.Abs(hi))
	switch {
	case size < 1e-300:
		return 1
	case hi-lo <= 1e-12*size:
		return 0.1 * size
	}
	return 0
}

// place chooses round ticks and widens the range to them.
func (a *axis) place() {
	step := niceStep((a.hi - a.lo) / 5)
	if a.log {
		step = math.Max(1, math.Ceil(step))
	}
	first, last := math.Floor(a.lo/step+1e-9), math.Ceil(a.hi/step-1e-9)
	a.lo, a.hi = first*step, last*step
	for i := range int(last-first) + 1 {
		t := (first + float64(i)) * step
		if math.Abs(t) < step*1e-9 {
			t = 0
		}
		if a.log {
			t = math.Pow(10, t)
		}
		a.ticks = append(a.ticks, t)
	}
}

// niceStep is 1, 2 or 5 times a power of ten, at least x.
func niceStep(x float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*base >= x*(1-1e-9) {
			return m * base
		}
	}
	return 10 * base
}

func (a axis) at(v float64) float64 {
	if a.log {
		v = math.Log10(v)
	}
	return a.from + (v-a.lo)/(a.hi-a.lo)*(a.to-a.from)
}

// canvas builds an SVG.
type canvas struct {
	strings.Builder
	h float64
}

// text writes a label; anchor is start, middle or end.
func (c *canvas) text(x, y float64, anchor, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, template.HTMLEscapeString(s))
}

// axes draws the grid of y, the ticks of both axes and their labels. xTicks false leaves the x ticks to the caller.
func (c *canvas) axes(x, y axis, xLabel, yLabel string, xTicks bool) {
	for _, t := range y.ticks {
		py := y.at(t)
		fmt.Fprintf(c, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, marginL, py, plotW-marginR, py)
		c.text(marginL-6, py+4, "end", tick(t))
	}
	bottom := y.from
	fmt.Fprintf(c, `<line class="axis" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, marginL, bottom, plotW-marginR, bottom)
	if xTicks {
		for _, t := range x.ticks {
			px := x.at(t)
			fmt.Fprintf(c, `<line class="axis" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, px, bottom, px, bottom+4)
			c.text(px, bottom+18, "middle", tick(t))
		}
	}
	c.text((marginL+plotW-marginR)/2, plotH-8, "middle", xLabel)
	mid := (y.from + y.to) / 2
	fmt.Fprintf(c, `<text transform="translate(14 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, mid, template.HTMLEscapeString(yLabel))
}

// tick formats a tick without needless digits.
func tick(t float64) string {
	if a := math.Abs(t); a != 0 && (a >= 1e5 || a < 1e-3) {
		return strings.Replace(fmt.Sprintf("%.3g", t), "e-0", "e-", 1)
	}
	return fmt.Sprintf("%.6g", t)
}

// legend names the series below the plot.
func (c *canvas) legend(names []string) {
	c.h = plotH
	if len(names) < 2 {
		return
	}
	for i, n := range names {
		y := plotH + legendRow*float64(i) + 4
		fmt.Fprintf(c, `<line class="curve s%d" stroke-dasharray="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`,
			i%colours, dashes[i%len(dashes)], marginL, y, marginL+28, y)
		c.text(marginL+36, y+4, "start", n)
	}
	c.h = plotH + legendRow*float64(len(names))
}

// figure wraps the SVG. The title is its caption and its text for readers who do not see it.
func (c *canvas) figure(title string) template.HTML {
	t := template.HTMLEscapeString(title)
	return template.HTML(fmt.Sprintf(
		"<figure><svg role=\"img\" aria-label=\"%s\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\">%s</svg>\n<figcaption>%s</figcaption></figure>",
		t, plotW, c.h, plotW, c.h, c.String(), t))
}

// needLabels: a plot without axis labels is refused.
func needLabels(title string, labels ...string) error {
	for _, l := range append(labels, title) {
		if strings.TrimSpace(l) == "" {
			return fmt.Errorf("plot %q: a title and both axis labels are needed", title)
		}
	}
	return nil
}
