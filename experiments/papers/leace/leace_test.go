package leace

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a small run keeps the theorems: nothing linear is left on the fitted rows, and no guarding map moves less.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "train_pairs=40", "held_out_pairs=10", "layers=[0,5]", "methods=[leace, mean-projection, sal, inlp]", "settings.rounds=3",
		"intervals.resamples=100")
	for _, name := range []string{"leace", "mean_projection", "sal"} {
		if gain := studytest.Number(t, r, name+".loss_gain").Value; gain > 1e-6 {
			t.Errorf("%s: a linear classifier of the fitted rows gains %v", name, gain)
		}
	}
	if before, after := studytest.Number(t, r, "before.loss_gain").Value, studytest.Number(t, r, "inlp.loss_gain").Value; before <= after || before <= 0.1 {
		t.Errorf("loss gain %v before, %v after INLP", before, after)
	}
	if random, before := studytest.Number(t, r, "random.loss_gain").Value, studytest.Number(t, r, "before.loss_gain").Value; random < 0.9*before {
		t.Errorf("a random direction takes the gain from %v to %v", before, random)
	}
}
