package sparsecbm

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/study/studytest"
)

// TestStudy carries the study out on few texts of four topics and looks at what every run must show.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "data.topics=[sport, music, law, weather]", "data.phrases=4", "data.train=15", "data.held_out=6", "seeds=1",
		"active=3", "l1.epochs=5", "gumbel.epochs=5", "contrastive.epochs=5", "gates.epochs=20")
	for _, m := range r.Metrics {
		if strings.HasSuffix(m.Name, ".accuracy") && (m.Value < 0 || m.Value > 1 || m.Low == nil || *m.Low > m.Value+1e-12 || *m.High < m.Value-1e-12) {
			t.Errorf("%s is %v", m.Name, m.Value)
		}
	}
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("probe.accuracy") < 0.6 { // chance is 1/4
		t.Errorf("the probe has accuracy %.2f", number("probe.accuracy"))
	}
	// a head on the scores themselves follows them, and uses no more than there are
	if math.Abs(number("post_hoc.follows")-1) > 1e-12 || number("gates.used") > 16 || number("gates.weights") > number("gates.used") {
		t.Errorf("follows %v, used %v", number("post_hoc.follows"), number("gates.used"))
	}
	if number("set.half") < number("set.half_shuffled") {
		t.Errorf("true values %v, those of other concepts %v", number("set.half"), number("set.half_shuffled"))
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
