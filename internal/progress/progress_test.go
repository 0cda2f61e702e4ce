package progress

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a clock that the test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestLines(t *testing.T) {
	var out bytes.Buffer
	c := &clock{t: time.Unix(1000, 0)}
	p := New(Options{Label: "capture", Unit: "tokens", Total: 1000, Log: logger(&out), Now: c.now})
	for range 25 { // 25 seconds, 10 tokens each
		c.advance(time.Second)
		p.Add(10)
	}
	c.advance(5 * time.Second)
	p.Note("FVU 0.2")
	p.Add(150) // 200 tokens in the 10 s since the last line
	p.Done()
	p.Done()
	p.Add(1)
	want := strings.Join([]string{
		"level=INFO msg=capture done=100 unit=tokens total=1000 rate=10 eta=1m30s",
		"level=INFO msg=capture done=200 unit=tokens total=1000 rate=10 eta=1m20s",
		"level=INFO msg=capture done=400 unit=tokens total=1000 rate=20 eta=30s at=\"FVU 0.2\"",
		"level=INFO msg=capture done=400 unit=tokens total=1000 rate=13.33 took=30s at=\"FVU 0.2\"",
		"",
	}, "\n")
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestLinesWithoutTotal(t *testing.T) {
	var out bytes.Buffer
	c := &clock{t: time.Unix(1000, 0)}
	p := New(Options{Label: "scan", Log: logger(&out), Now: c.now})
	c.advance(LogEvery)
	p.Add(0)
	p.Done()
	if want := "level=INFO msg=scan done=0 rate=0\nlevel=INFO msg=scan done=0 rate=0 took=10s\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestChoice(t *testing.T) {
	yes, no := func(io.Writer) bool { return true }, func(io.Writer) bool { return false }
	for name, tc := range map[string]struct {
		o         Options
		bar, logs bool
	}{
		"terminal":          {Options{Terminal: yes}, true, false},
		"pipe":              {Options{Terminal: no}, false, true},
		"quiet on terminal": {Options{Terminal: yes, Quiet: true}, false, false},
		"quiet in pipe":     {Options{Terminal: no, Quiet: true}, false, false},
		"system says pipe":  {Options{}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out, log bytes.Buffer
			tc.o.Label, tc.o.Total, tc.o.Out, tc.o.Log = "work", 10, &out, logger(&log)
			p := New(tc.o)
			p.Add(5)
			p.Done()
			if got := strings.Contains(out.String(), "work"); got != tc.bar {
				t.Errorf("bar %v, want %v: %q", got, tc.bar, out.String())
			}
			if got := strings.Contains(log.String(), "done=5"); got != tc.logs {
				t.Errorf("lines %v, want %v: %q", got, tc.logs, log.String())
			}
		})
	}
	if IsTerminal(&bytes.Buffer{}) {
		t.Error("a buffer is a terminal")
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if IsTerminal(f) {
		t.Error("the null device is a terminal")
	}
	New(Options{Label: "nowhere"}).Add(1)
}

func TestBar(t *testing.T) {
	var out bytes.Buffer
	p := New(Options{Label: "train", Unit: "tok", Total: 4, Out: &out, Terminal: func(io.Writer) bool { return true }})
	p.Note("FVU 0.2")
	time.Sleep(120 * time.Millisecond) // longer than the bar's throttle
	p.Add(2)
	half := out.String()
	p.Add(2)
	p.Done()
	p.Done()
	for _, want := range []string{"train  FVU 0.2", "50%", "2/4", "tok/s"} {
		if !strings.Contains(half, want) {
			t.Errorf("half-way the bar lacks %q: %q", want, half)
		}
	}
	if !strings.Contains(out.String(), "100%") || !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("the full bar: %q", out.String())
	}
}

func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	p := New(Options{Label: "n", Total: 800, Log: logger(&out)})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				p.Add(1)
			}
		})
	}
	wg.Wait()
	p.Done()
	if !strings.Contains(out.String(), "done=800") {
		t.Errorf("got %q", out.String())
	}
}
