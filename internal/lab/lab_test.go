package lab

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/arrowio"
	"loupe/internal/expect"
	"loupe/internal/run"
	"loupe/internal/stats"
)

func newDir(t *testing.T) *run.Dir {
	t.Helper()
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: "lab", Kind: "demo", Config: []byte("a: 1\n"), ConfigHash: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Finish() })
	return dir
}

// TestStep: a step's result is computed once and read back; one that failed is done again; a damaged file is an error.
func TestStep(t *testing.T) {
	dir := newDir(t)
	calls := 0
	do := func() (map[string]float64, error) {
		if calls++; calls == 1 {
			return nil, errors.New("first")
		}
		return map[string]float64{"x": 0.1}, nil
	}
	if _, err := Step(dir, "s", do); err == nil {
		t.Fatal("a failure is no result")
	}
	for range 2 {
		got, err := Step(dir, "s", do)
		if err != nil || got["x"] != 0.1 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if calls != 2 {
		t.Errorf("computed %d times", calls)
	}
	if err := os.WriteFile(dir.File("steps", "s.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Step(dir, "s", do); err == nil || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("a damaged step: %v", err)
	}
}

// TestStoreDir: equal content gives the same folder, any difference another.
func TestStoreDir(t *testing.T) {
	dir := func(dependsOn ...any) string {
		d, err := StoreDir("stores", "x", dependsOn...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first, again, other := dir("a", 1), dir("a", 1), dir("a", 2)
	if first != again || first == other || filepath.Dir(dir("a")) != "stores" {
		t.Errorf("%s, %s, %s", first, again, other)
	}
}

func TestMetrics(t *testing.T) {
	named := Named(map[string]expect.Metric{"b": Plain(2), "a": Metric(stats.Interval{Value: 1, Low: 0.5, High: 1.5})})
	if len(named) != 2 || named[0].Name != "a" || *named[0].High != 1.5 || named[1].Low != nil {
		t.Fatalf("%+v", named)
	}
	dir := newDir(t)
	if err := WriteMetrics(dir, named); err != nil {
		t.Fatal(err)
	}
	table, err := arrowio.ReadTable(dir.File("tables", "metrics.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	low, err := arrowio.ColumnOf[float64](table, "low")
	if err != nil || low[0] != 0.5 || low[1] != 2 {
		t.Errorf("%v, %v", low, err)
	}
	o := Options{Expect: []expect.Line{{Metric: "a", Use: expect.Low, Op: ">=", Value: 0.6, From: "here"}, {Metric: "b", Use: expect.Estimate, Op: ">=", Value: 1, From: "here"}}}
	got := map[string]expect.Metric{"a": {Value: 1, Low: 0.5, High: 1.5}, "b": Plain(2)}
	if reproduced, missed := Verdicts(o.Judge(got)); reproduced != 1 || missed != 1 {
		t.Errorf("%d reproduced, %d missed", reproduced, missed)
	}
	o.Other = "other settings"
	if reproduced, missed := Verdicts(o.Judge(got)); reproduced+missed != 0 {
		t.Error("judged with other settings")
	}
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	if err := os.WriteFile(path, []byte("{\"step\":1,\"tokens\":10,\"a\":0.5}\n{\"step\":2,\"tokens\":20}\n{\"step\":3,\"tokens\":30,\"a\":0.25}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := ReadHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if x, y := h.Curve("a"); len(x) != 2 || x[1] != 30 || y[1] != 0.25 {
		t.Errorf("%v, %v", x, y)
	}
	if err := os.WriteFile(path, []byte("{\"step\":1}\n{\"step\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadHistory(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a truncated line: %v", err)
	}
}

// TestMeanOver: values of one cluster are drawn together, so that the interval is wider than over single values.
func TestMeanOver(t *testing.T) {
	var x []float64
	var cluster []int
	for c := range 10 {
		for range 10 {
			x, cluster = append(x, float64(c)), append(cluster, c)
		}
	}
	together, err := MeanOver(t.Context(), x, cluster, 1)
	if err != nil {
		t.Fatal(err)
	}
	apart, err := MeanOver(t.Context(), x, UpTo(len(x)), 1)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(together.Value-4.5) > 1e-12 || together.High-together.Low < 2*(apart.High-apart.Low) {
		t.Errorf("together %v, apart %v", together, apart)
	}
}

// TestClock: the times of a run that was resumed are those of all its processes.
func TestClock(t *testing.T) {
	dir := newDir(t)
	dir.Log().Info("other", "step", "capture", "seconds", 7.0)
	for _, reused := range []bool{false, true} {
		c, err := NewClock(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !reused {
			dir.Log().Info(stepDone, "step", "train", "seconds", 100.0) // as of another process
		}
		c.Done("capture", reused)
		c.Done("train", false)
		if c.Times[0].Reused || c.Times[0].Seconds > 6 {
			t.Errorf("capture: %+v", c.Times[0])
		}
		if train := c.Times[1].Seconds; reused != (train >= 100) {
			t.Errorf("train took %v seconds", train)
		}
	}
	c, err := NewClock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.Done("splice", true); !c.Times[0].Reused {
		t.Error("a step that another run had done")
	}
	if got := PrintTimes([]StepTime{{"a", 1, true}, {"b", 2.25, false}}); got != "a 1.0 (reused), b 2.2; in all 3.2" {
		t.Error(got)
	}
}
