// Package studytest carries out studies in tests.
package studytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/internal/study"
)

// Run carries a study out with the settings of config.yaml in the current folder and the given changes, which make it
// small, and fails unless every line of expect.yaml names a number that it computes. The test is skipped where one of
// the models is not installed.
func Run(t *testing.T, st study.Study, models []string, set ...string) *study.Result {
	t.Helper()
	for _, m := range models {
		graphtest.Model(t, m)
	}
	return RunOn(t, graphtest.Backend(t), st, set...)
}

// RunOn is Run on a backend that the caller has opened, with models that need no look.
func RunOn(t *testing.T, b compute.Backend, st study.Study, set ...string) *study.Result {
	t.Helper()
	c, err := config.Load([]config.Kind{st.Kind}, config.Input{Path: "config.yaml", Set: set})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: st.Kind.Name, Kind: st.Kind.Name, Config: c.YAML(), ConfigHash: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := expect.Load("expect.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := st.Carry(t.Context(), b, c.Value, dir, lab.Options{Stores: filepath.Join(t.TempDir(), "stores"), Expect: lines})
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
	if len(r.Judged()) == 0 {
		t.Error("nothing is expected")
	}
	for _, j := range r.Judged() {
		if j.Verdict == expect.NotApplicable {
			t.Errorf("expectation of %s: %s", j.Metric, j.Why)
		}
	}
	if _, err := os.Stat(dir.File("report.html")); err != nil {
		t.Error(err)
	}
	return r
}

// Number returns a number that a run computed.
func Number(t *testing.T, r *study.Result, name string) lab.NamedMetric {
	t.Helper()
	for _, m := range r.Metrics {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("the run computed no number %q", name)
	return lab.NamedMetric{}
}
