package progress

import (
	"sync"
	"time"
)

// lines logs done, total, rate and time left every [LogEvery], and once at the end.
type lines struct {
	o Options

	mu           sync.Mutex
	done         int64
	note         string
	start, last  time.Time
	loggedAtLast int64
	ended        bool
}

func newLines(o Options) *lines {
	now := o.Now()
	return &lines{o: o, start: now, last: now}
}

func (l *lines) Add(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done += n
	if now := l.o.Now(); !l.ended && now.Sub(l.last) >= LogEvery {
		l.log(now)
	}
}

func (l *lines) Note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note = text
}

func (l *lines) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		l.log(l.o.Now())
	}
}

// log writes one line. The rate and the time left come from the time since the last line, so that a slow start or a
// change of pace does not spoil them; the last line gives the rate over all.
func (l *lines) log(now time.Time) {
	args := []any{"done", l.done}
	if l.o.Unit != "" {
		args = append(args, "unit", l.o.Unit)
	}
	if l.o.Total > 0 {
		args = append(args, "total", l.o.Total)
	}
	rate := perSecond(l.done-l.loggedAtLast, now.Sub(l.last))
	if l.ended {
		rate = perSecond(l.done, now.Sub(l.start))
	}
	args = append(args, "rate", rate)
	switch left := l.o.Total - l.done; {
	case l.ended:
		args = append(args, "took", now.Sub(l.start).Round(time.Second).String())
	case left > 0 && rate > 0:
		args = append(args, "eta", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second).String())
	}
	if l.note != "" {
		args = append(args, "at", l.note)
	}
	l.o.Log.Info(l.o.Label, args...)
	l.last, l.loggedAtLast = now, l.done
}

// perSecond is the rate, to three significant digits where it is small.
func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	r := float64(n) / d.Seconds()
	switch {
	case r >= 100:
		return float64(int64(r + 0.5))
	default:
		return float64(int64(r*100+0.5)) / 100
	}
}
