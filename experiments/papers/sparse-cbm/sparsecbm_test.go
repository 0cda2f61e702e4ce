package sparsecbm

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/run"
)

// TestRun carries the study out on few texts of four topics and looks at what every run must show.
func TestRun(t *testing.T) {
	graphtest.Model(t, "minilm")
	st := Study()
	c, err := config.Load([]config.Kind{st.Kind}, config.Input{Path: "config.yaml", Set: []string{
		"data.topics=[sport, music, law, weather]", "data.phrases=4", "data.train=15", "data.held_out=6", "seeds=1", "active=3",
		"l1.epochs=5", "gumbel.epochs=5", "contrastive.epochs=5", "gates.epochs=20",
	}})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := expect.Load("expect.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: "x", Kind: "sparse-cbm", Config: c.YAML(), ConfigHash: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Finish() })
	r, err := st.Carry(t.Context(), graphtest.Backend(t), c.Value, dir, lab.Options{Expect: lines})
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range r.Judged() {
		if j.Got == nil {
			t.Errorf("the study does not compute %s", j.Metric)
		}
	}
	got := map[string]float64{}
	for _, m := range r.Metrics {
		got[m.Name] = m.Value
		if strings.HasSuffix(m.Name, ".accuracy") && (m.Value < 0 || m.Value > 1 || m.Low == nil || *m.Low > m.Value+1e-12 || *m.High < m.Value-1e-12) {
			t.Errorf("%s is %v", m.Name, m.Value)
		}
	}
	if got["probe.accuracy"] < 0.6 { // chance is 1/4
		t.Errorf("the probe has accuracy %.2f", got["probe.accuracy"])
	}
	if math.Abs(got["post_hoc.follows"]-1) > 1e-12 || got["gates.used"] > 16 {
		t.Errorf("follows %v, used %v", got["post_hoc.follows"], got["gates.used"])
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Leakage", "names shuffled", "contrastive", "post-hoc with residual"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, out.String())
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, set := range []string{"seeds=0", "active=1000", "model=", "post_hoc.residual=false", "l1.loss=gumbel", "data.topics=[law]", "gates.tau=0"} {
		if _, err := config.Load([]config.Kind{Study().Kind}, config.Input{Path: "config.yaml", Set: []string{set}}); err == nil {
			t.Errorf("%s is taken", set)
		}
	}
}
