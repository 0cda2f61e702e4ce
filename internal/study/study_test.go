package study

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/run"
	"loupe/internal/stats"
)

type conf struct {
	Base
	Number float64 `json:"number" doc:"what the study finds"`
}

func (c *conf) Validate() error { return nil }

func kind() config.Kind {
	return config.Kind{Name: "half", Doc: "halve a number", New: func() any { return &conf{Base: Base{Name: "half", Seed: 3}, Number: 1} }}
}

func newDir(t *testing.T) *run.Dir {
	t.Helper()
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: "half", Kind: "half", Config: []byte("a: 1\n"), ConfigHash: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Finish() })
	return dir
}

// TestCarry: what a study says is printed in order, judged, and written.
func TestCarry(t *testing.T) {
	st := Study{Kind: kind(), Title: "Halves", Run: func(_ context.Context, s *Session, c any) error {
		half, err := Step(s, "halve", func() (float64, error) { return c.(*conf).Number / 2, nil })
		if err != nil {
			return err
		}
		s.Text("Half of %g:", c.(*conf).Number)
		s.Value("half", half)
		s.Interval("about", stats.Interval{Value: half, Low: half - 1, High: half + 1, N: 9})
		s.Table("halves", report.Table{
			Caption: "One row", Columns: []report.Column{{Name: "what"}, {Name: "half", Unit: "m"}, {Name: "about"}},
			Rows: [][]any{{"a, b", half, report.Interval{Value: half, Low: half - 1, High: half + 1, N: 9}}, {"none", nil, nil}},
		})
		s.Done("halve")
		return nil
	}}
	c, err := config.Load([]config.Kind{st.Kind}, config.Input{Kind: "half", Set: []string{"number=5", "name=x"}})
	if err != nil {
		t.Fatal(err)
	}
	if b := BaseOf(c.Value); b.Name != "x" || b.Seed != 3 {
		t.Errorf("base %+v", b)
	}
	dir := newDir(t)
	opt := lab.Options{Expect: []expect.Line{{Metric: "half", Use: expect.Estimate, Op: ">=", Value: 2.5}, {Metric: "about", Use: expect.Low, Op: ">=", Value: 2}}}
	r, err := st.Carry(context.Background(), nil, c.Value, dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if j := r.Judged(); len(j) != 2 || j[0].Verdict != expect.Reproduced || j[1].Verdict != expect.Missed {
		t.Errorf("judged %+v", j)
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, want := range []string{"Halves", "Half of 5:", "WHAT", "half (m)", "a, b", "2.5", "2.500 [1.500, 3.500]", "none", "EXPECTED", "half ", "missed", "halve "} {
		i := strings.Index(out.String()[at:], want)
		if i < 0 {
			t.Fatalf("no %q after byte %d of\n%s", want, at, out.String())
		}
		at += i
	}
	got, err := os.ReadFile(dir.File("tables", "halves.csv"))
	if want := "what,half,about,about low,about high\n\"a, b\",2.5,2.5,1.5,3.5\nnone,,,,\n"; err != nil || string(got) != want {
		t.Errorf("%v, table\n%s", err, got)
	}
	for _, f := range []string{"report.html", "tables/metrics.arrow", "steps/halve.json"} {
		if _, err := os.Stat(dir.File(f)); err != nil {
			t.Error(err)
		}
	}
}

// TestRefuse: a number that is given twice or says nothing, and a ragged table, fail the run.
func TestRefuse(t *testing.T) {
	for want, do := range map[string]func(s *Session){
		"given twice": func(s *Session) { s.Value("a", 1); s.Value("a", 1) },
		`"b" is NaN`:  func(s *Session) { s.Value("b", math.NaN()) },
		`"c" is +Inf`: func(s *Session) { s.Interval("c", stats.Interval{High: math.Inf(1)}) },
		"1 cells for 2": func(s *Session) {
			s.Table("t", report.Table{Columns: []report.Column{{Name: "a"}, {Name: "b"}}, Rows: [][]any{{1}}})
		},
		"of the study run": nil,
	} {
		st := Study{Kind: kind(), Title: "x", Run: func(_ context.Context, s *Session, _ any) error {
			if do == nil {
				return errors.New("of the study run")
			}
			do(s)
			return nil
		}}
		_, err := st.Carry(context.Background(), nil, kind().New(), newDir(t), lab.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "half: ") {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
