package conceptincongruence

import (
	"math"
	"testing"

	"loupe/internal/study/studytest"
	"loupe/probe"
)

// TestScores: AUC and R² by hand; the prompts differ by the prefix alone, and people died after they were born.
func TestScores(t *testing.T) {
	u := &subject{dead: []bool{false, true, true, false}, year: []float64{1, 2, 3, 6}, split: probe.Split{Test: []int{0, 1, 2, 3}}}
	all := []int{0, 1, 2, 3}
	if got := u.auc([]float64{0, 1, 0, -1}, all); got != (1+1+0.5+1)/4 {
		t.Errorf("AUC %v", got)
	}
	if got := u.auc([]float64{0, 1, 0, -1}, []int{1, 2}); got != 0.5 {
		t.Errorf("AUC of one class %v", got)
	}
	// the years about their mean 3 are -2, -1, 0, 3: 14 in all; the residuals are 0, 0, 0, 3
	if got := u.r2([]float64{1, 2, 3, 3}, all); math.Abs(got-(1-9.0/14)) > 1e-12 {
		t.Errorf("R² %v", got)
	}
	p := people[0]
	if a, b := prompt(plain, p, 1800), prompt(rolePlay, p, 1800); b[len(b)-len(a):] != a || len(a) == len(b) {
		t.Errorf("%q and %q", a, b)
	}
	for _, p := range people {
		if p.death-p.born < 30 || p.death-p.born > 105 {
			t.Errorf("%s lived from %d to %d", p.name, p.born, p.death)
		}
	}
}

// TestStudy: a small run.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"smollm2"}, "people=10", "offsets=[-20,20]", "layers=[14,29]")
	for _, name := range []string{"block14.dead_plain", "answer_plain.right", "answer_role-play.auc"} {
		if v := studytest.Number(t, r, name).Value; v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
}
