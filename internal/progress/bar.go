package progress

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar draws a bar, or a spinner when the total is unknown. Drawing fails only when the terminal is gone, and then no
// one is there to be told: its errors are dropped.
type bar struct {
	b     *progressbar.ProgressBar
	label string
	out   io.Writer
	once  sync.Once
}

func newBar(o Options) *bar {
	total := o.Total
	if total <= 0 {
		total = -1
	}
	unit := o.Unit
	if unit == "" {
		unit = "it"
	}
	return &bar{out: o.Out, label: o.Label, b: progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(o.Out),
		progressbar.OptionSetDescription(o.Label),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetRenderBlankState(true),
	)}
}

func (p *bar) Add(n int64) { _ = p.b.Add64(n) }

func (p *bar) Note(text string) { p.b.Describe(p.label + "  " + text) }

// Done leaves the bar as it stands, so that work cut short is seen as such, and ends its line.
func (p *bar) Done() {
	p.once.Do(func() {
		_ = p.b.Exit()
		_, _ = io.WriteString(p.out, "\n")
	})
}
