// Package progress shows how far long work has come: a bar with rate and time left on a terminal, a log line every
// ten seconds elsewhere, nothing when quiet.
package progress

import (
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"
)

// LogEvery is the time between two log lines.
const LogEvery = 10 * time.Second

// Progress is told what has been done. Its methods may be called from several goroutines.
type Progress interface {
	Add(n int64)      // n more units are done
	Note(text string) // how the work stands, shown from now on
	Done()            // the work has ended, in full or not
}

// Options says what to show and where.
type Options struct {
	Label string // what is being done, such as "capture"
	Unit  string // what is counted, such as "tokens"
	Total int64  // 0 when it is not known
	Quiet bool

	Out io.Writer    // receives the bar when it is a terminal; nil for no bar
	Log *slog.Logger // receives the lines otherwise; nil for none

	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Terminal overrides whether Out is a terminal; nil asks the system.
	Terminal func(io.Writer) bool
}

// New starts showing progress.
func New(o Options) Progress {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Terminal == nil {
		o.Terminal = IsTerminal
	}
	switch {
	case o.Quiet:
		return quiet{}
	case o.Out != nil && o.Terminal(o.Out):
		return newBar(o)
	case o.Log != nil:
		return newLines(o)
	}
	return quiet{}
}

// IsTerminal tells whether w is a terminal that a person may look at.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

type quiet struct{}

func (quiet) Add(int64)   {}
func (quiet) Note(string) {}
func (quiet) Done()       {}
