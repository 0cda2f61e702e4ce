package adawac

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestWeights: means of the two kinds of rows, 0 where there is none.
func TestWeights(t *testing.T) {
	u := &subject{agrees: []bool{true, false, true}}
	if a, b := u.weights([]float64{1, 4, 2}); a != 1.5 || b != 4 {
		t.Errorf("means %v and %v", a, b)
	}
	u.agrees[1] = true
	if a, b := u.weights([]float64{1, 4, 1}); a != 2 || b != 0 {
		t.Errorf("means %v and %v", a, b)
	}
}

// TestStudy: a small run; consistency does not make the probe worse than leaning on the companion.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "train_pairs=40", "held_out_pairs=20", "adawac.rounds=20")
	plain, ada := studytest.Number(t, r, "plain.accuracy").Value, studytest.Number(t, r, "adawac.accuracy").Value
	if ada < plain-0.05 {
		t.Errorf("accuracy after the shift: %v plain, %v by AdaWAC", plain, ada)
	}
	if gap := studytest.Number(t, r, "adawac.gap").Value; gap < -1e-6 {
		t.Errorf("duality gap %v", gap)
	}
}
