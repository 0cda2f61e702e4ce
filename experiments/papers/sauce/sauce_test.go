package sauce

import (
	"testing"

	"loupe/experiments/erase/evaluate"
	"loupe/internal/stats"
	"loupe/internal/study/studytest"
)

// TestEqual: of the settings nearest to ItD's Acc_e the one that keeps most is compared, and then the one that drifts least.
func TestEqual(t *testing.T) {
	row := func(label string, e, s, drift float64) *evaluate.Row {
		at := func(v float64) *stats.Interval { return &stats.Interval{Value: v} }
		return &evaluate.Row{Label: label, Erased: at(e), Specific: at(s), Drift: at(drift)}
	}
	got := equal(row("itd", 0.1, 1, 0), []*evaluate.Row{row("far", 1, 1, 0), row("harmful", 0, 0.5, 0), row("drifting", 0.2, 0.9, 0.3), row("best", 0.2, 0.9, 0.1)})
	if got.Label != "best" {
		t.Errorf("compared with %s", got.Label)
	}
}

// TestStudy: a small run with a small autoencoder: shares are shares.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "eval.task.erase=[church]", "eval.task.benign=24", "eval.task.held_out=8", "eval.grid=1", "factors=[-1]", "features=[2]",
		"sauce.dictionary.ordinary=0", "sauce.dictionary.neutral=24", "sauce.dictionary.sae.d_sae=768", "sauce.dictionary.sae.batch=512", "sauce.dictionary.sae.tokens=20480")
	for _, name := range []string{"sauce.acc_e", "sauce.acc_s", "itd.identical", "sauce.identical"} {
		if v := studytest.Number(t, r, name).Value; v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
}
